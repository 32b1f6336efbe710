using System.Runtime.InteropServices;

namespace OpenSandbox.Vmm.Qemu;

/// <summary>Collects the descriptors that QEMU inherits and gives each its number: 0 to 2 are the standard ones, 3 is the launcher's.</summary>
internal sealed class VmDescriptors
{
    private readonly List<SafeHandle> _handles;

    /// <param name="standardInput">Usually <c>/dev/null</c>.</param>
    /// <param name="output">Gets standard output and standard error.</param>
    /// <param name="status">Gets the launcher's reports.</param>
    internal VmDescriptors(SafeHandle standardInput, SafeHandle output, SafeHandle status) =>
        _handles = [standardInput, output, output, status];

    internal const int StatusNumber = 3;

    internal IReadOnlyList<SafeHandle> Handles => _handles;

    /// <summary>Number of the last one.</summary>
    internal int Last => _handles.Count - 1;

    /// <summary>Adds one; the handle stays owned by the caller.</summary>
    /// <returns>Its number in the child.</returns>
    internal int Add(SafeHandle handle)
    {
        _handles.Add(handle);
        return Last;
    }
}
