namespace OpenSandbox.Vmm;

/// <summary>How a connection came to a bad end.</summary>
internal enum EgressConnectionEnd
{
    /// <summary>The remote side reset it.</summary>
    RemoteReset,

    /// <summary>The network failed, for example by a timeout of TCP itself.</summary>
    Failed,

    /// <summary>A new policy does not allow it; the remote side got a reset.</summary>
    PolicyChanged,

    /// <summary>It was aborted or disposed on this side.</summary>
    Aborted,
}
