namespace OpenSandbox.Qmp.Protocol;

/// <summary>Reads a command's returned value. Runs on the reader loop; well-formed JSON comes in, what goes out owns its memory.</summary>
/// <exception cref="QmpProtocolException">The value does not have the shape that the command promises.</exception>
internal delegate T ReplyParser<T>(ReadOnlySpan<byte> json);
