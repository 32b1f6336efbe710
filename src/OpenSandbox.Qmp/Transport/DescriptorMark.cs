using System.Runtime.InteropServices;

namespace OpenSandbox.Qmp.Transport;

/// <summary>A descriptor that travels with the command beginning at <paramref name="Offset"/>. Its handle is referenced until the mark is released.</summary>
internal readonly record struct DescriptorMark(int Offset, SafeHandle Handle);
