using System.Text.Json;

namespace OpenSandbox.Qmp;

/// <summary>An event from QEMU. Immutable; may be kept for as long as wanted.</summary>
public sealed class QmpEvent
{
    internal QmpEvent(string name, DateTimeOffset? timestamp, JsonElement data, int weight)
    {
        Name = name;
        Timestamp = timestamp;
        Data = data;
        Weight = weight;
    }

    /// <summary>Such as <c>STOP</c> or <c>BLOCK_IO_ERROR</c>: 1 to 128 letters, digits, <c>_</c>, <c>-</c> or <c>.</c></summary>
    public string Name { get; }

    /// <summary>QEMU's clock when it happened; null when QEMU could not read its clock.</summary>
    public DateTimeOffset? Timestamp { get; }

    /// <summary>The event's data, an object; <see cref="JsonValueKind.Undefined"/> when it has none.</summary>
    public JsonElement Data { get; }

    /// <summary>Roughly the bytes of memory that the event takes.</summary>
    internal int Weight { get; }
}
