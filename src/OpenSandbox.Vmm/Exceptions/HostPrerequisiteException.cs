namespace OpenSandbox.Vmm;

/// <summary>The host lacks something that is needed.</summary>
public sealed class HostPrerequisiteException : SandboxException
{
    internal HostPrerequisiteException(string message, string remedy, Exception? inner = null)
        : base(SandboxErrorCode.HostPrerequisite, null, $"{message}. {remedy}", inner) => Remedy = remedy;

    /// <summary>What to do about it.</summary>
    public string Remedy { get; }
}
