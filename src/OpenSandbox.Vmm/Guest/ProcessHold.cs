namespace OpenSandbox.Vmm;

/// <summary>What a handle may do with its process.</summary>
internal enum ProcessHold
{
    /// <summary>Read.</summary>
    Reader,

    /// <summary>Read and write input.</summary>
    Input,

    /// <summary>Read and write input; the process ends with the handle.</summary>
    Owner,
}
