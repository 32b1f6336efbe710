using System.Runtime.InteropServices;

namespace OpenSandbox.Vmm.Processes;

/// <summary>What to start: an absolute path, its arguments, and the files that become its descriptors 0, 1, 2, ...</summary>
/// <param name="Path">Absolute path of the executable.</param>
/// <param name="Arguments">Arguments, the program's own name first.</param>
/// <param name="Descriptors">Handles that become descriptors 0..n-1 of the child; stay owned by the caller.</param>
internal sealed record HostProcessStart(string Path, IReadOnlyList<string> Arguments, IReadOnlyList<SafeHandle> Descriptors);
