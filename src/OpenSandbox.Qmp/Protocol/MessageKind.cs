namespace OpenSandbox.Qmp.Protocol;

/// <summary>The four kinds of line that QEMU sends.</summary>
internal enum MessageKind
{
    /// <summary><c>{"QMP": {...}}</c></summary>
    Greeting,

    /// <summary><c>{"return": ..., "id": n}</c></summary>
    Return,

    /// <summary><c>{"error": {"class": ..., "desc": ...}, "id": n}</c></summary>
    Error,

    /// <summary><c>{"event": name, "timestamp": {...}, "data": {...}}</c></summary>
    Event,
}
