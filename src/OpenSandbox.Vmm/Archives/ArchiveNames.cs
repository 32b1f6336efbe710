namespace OpenSandbox.Vmm.Archives;

/// <summary>The names that an archive may have: <c>device-state</c>, <c>memory</c>, <c>layers/ID.qcow2</c>, in this order.</summary>
internal static class ArchiveNames
{
    internal const string DeviceState = "device-state";
    internal const string Memory = "memory";

    internal static string Layer(string id) => $"layers/{id}.qcow2";
}
