namespace OpenSandbox.Cli.Control;

/// <summary>A received frame.</summary>
/// <param name="Kind">What it is; <see cref="ControlFrameKind.None"/> when the other side has closed the connection.</param>
/// <param name="Payload">Valid until the next frame is read.</param>
internal readonly record struct ControlFrame(ControlFrameKind Kind, ReadOnlyMemory<byte> Payload)
{
    /// <summary>Whether the connection has ended.</summary>
    internal bool IsEnd => Kind == ControlFrameKind.None;
}
