using System.Text.Json;

namespace OpenSandbox.Qmp.Transport;

/// <summary>Writes a command's <c>arguments</c>, a whole object. Runs while the client's lock is held: only code of this library.</summary>
internal delegate void ArgumentsWriter<in TState>(Utf8JsonWriter writer, TState state)
    where TState : allows ref struct;
