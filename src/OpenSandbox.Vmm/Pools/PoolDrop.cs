namespace OpenSandbox.Vmm.Pools;

/// <summary>Why a pool lets go of a machine that nobody has taken.</summary>
internal enum PoolDrop
{
    /// <summary>It is older than machines may be.</summary>
    Age,

    /// <summary>There are more than there should be.</summary>
    Surplus,

    /// <summary>The host's memory runs short.</summary>
    Memory,

    /// <summary>Its image's name points at something else.</summary>
    Image,

    /// <summary>It has ended by itself.</summary>
    Ended,
}
