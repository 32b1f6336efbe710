using System.Text.Json;

namespace OpenSandbox.Qmp.Protocol;

/// <summary>Reads the returned values of the commands that the client knows.</summary>
internal static class Replies
{
    private const int MaxNameLength = 128;
    private const int MaxIdLength = 256;
    private const int MaxEntries = 4096;

    /// <summary>The usual run states, so that asking for one allocates no text.</summary>
    private static readonly string[] s_runStates = ["running", "paused", "inmigrate", "prelaunch", "postmigrate", "shutdown", "io-error"];

    internal static readonly ReplyParser<bool> Nothing = static json =>
        json.StartsWith((byte)'{') ? true : throw Unexpected("something else than an object");

    internal static readonly ReplyParser<JsonElement> Element = ParseElement;
    internal static readonly ReplyParser<QmpRunStatus> RunStatus = ParseRunStatus;
    internal static readonly ReplyParser<QmpGreeting> Greeting = ParseGreeting;
    internal static readonly ReplyParser<QmpVersion> Version = static json => ParseVersion(ParseElement(json));
    internal static readonly ReplyParser<QmpMigrationStatus> MigrationStatus = ParseMigrationStatus;
    internal static readonly ReplyParser<QmpAddedDescriptor> AddedDescriptor = ParseAddedDescriptor;
    internal static readonly ReplyParser<IReadOnlyList<QmpMemoryDevice>> MemoryDevices = ParseMemoryDevices;

    /// <summary>The class and text of an error reply.</summary>
    internal static (string Class, string Description) ParseError(ReadOnlySpan<byte> json)
    {
        JsonElement error = ParseElement(json);
        return (Text(error, "class", MaxNameLength), Text(error, "desc", QmpNames.MaxTextLength));
    }

    /// <summary>A value that owns its memory.</summary>
    internal static JsonElement ParseElement(ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = MessageParser.CreateReader(json);
        return JsonElement.ParseValue(ref reader);
    }

    private static QmpRunStatus ParseRunStatus(ReadOnlySpan<byte> json)
    {
        Utf8JsonReader reader = MessageParser.CreateReader(json);
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw Unexpected("a status that is not an object");
        }

        string? status = null;
        bool? running = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            bool isStatus = reader.ValueTextEquals("status"u8);
            bool isRunning = reader.ValueTextEquals("running"u8);
            reader.Read();
            if (isStatus && reader.TokenType == JsonTokenType.String)
            {
                status = ReadRunState(ref reader);
            }
            else if (isRunning && reader.TokenType is JsonTokenType.True or JsonTokenType.False)
            {
                running = reader.TokenType == JsonTokenType.True;
            }
            else
            {
                reader.Skip();
            }
        }

        return status is not null && running is not null
            ? new QmpRunStatus(status, running.Value)
            : throw Unexpected("a status without its members");
    }

    private static string ReadRunState(ref Utf8JsonReader reader)
    {
        foreach (string state in s_runStates)
        {
            if (reader.ValueTextEquals(state))
            {
                return state;
            }
        }

        return QmpNames.Clean(reader.GetString()!, MaxNameLength);
    }

    private static QmpGreeting ParseGreeting(ReadOnlySpan<byte> json)
    {
        JsonElement greeting = ParseElement(json);
        QmpVersion version = ParseVersion(Member(greeting, "version", JsonValueKind.Object));
        var capabilities = new List<string>();
        foreach (JsonElement capability in Entries(Member(greeting, "capabilities", JsonValueKind.Array)))
        {
            capabilities.Add(capability.ValueKind == JsonValueKind.String
                ? QmpNames.Clean(capability.GetString()!, MaxNameLength)
                : throw Unexpected("a capability that is not a string"));
        }

        return new QmpGreeting(version, capabilities.AsReadOnly());
    }

    private static QmpVersion ParseVersion(JsonElement version)
    {
        JsonElement qemu = Member(version, "qemu", JsonValueKind.Object);
        return new QmpVersion(
            VersionPart(qemu, "major"), VersionPart(qemu, "minor"), VersionPart(qemu, "micro"), Text(version, "package", MaxIdLength));
    }

    private static int VersionPart(JsonElement qemu, string name)
    {
        long value = Number(qemu, name);
        return value is >= 0 and <= 65535 ? (int)value : throw Unexpected("a version that is none");
    }

    private static QmpMigrationStatus ParseMigrationStatus(ReadOnlySpan<byte> json)
    {
        JsonElement status = ParseElement(json);
        JsonElement? ram = OptionalMember(status, "ram", JsonValueKind.Object);
        return new QmpMigrationStatus
        {
            Status = OptionalText(status, "status", MaxNameLength),
            ErrorDescription = OptionalText(status, "error-desc", QmpNames.MaxTextLength),
            TotalTimeMs = OptionalNumber(status, "total-time"),
            RamTransferredBytes = ram is { } memory ? OptionalNumber(memory, "transferred") : null,
        };
    }

    private static QmpAddedDescriptor ParseAddedDescriptor(ReadOnlySpan<byte> json)
    {
        JsonElement added = ParseElement(json);
        return new QmpAddedDescriptor(Number(added, "fdset-id"), Number(added, "fd"));
    }

    private static IReadOnlyList<QmpMemoryDevice> ParseMemoryDevices(ReadOnlySpan<byte> json)
    {
        JsonElement list = ParseElement(json);
        if (list.ValueKind != JsonValueKind.Array)
        {
            throw Unexpected("a list that is none");
        }

        var devices = new List<QmpMemoryDevice>();
        foreach (JsonElement device in Entries(list))
        {
            string type = Text(device, "type", MaxNameLength);
            JsonElement data = Member(device, "data", JsonValueKind.Object);
            devices.Add(new QmpMemoryDevice
            {
                Type = type,
                Id = OptionalText(data, "id", MaxIdLength),
                SizeBytes = OptionalNumber(data, "size") ?? 0,
                RequestedSizeBytes = OptionalNumber(data, "requested-size"),
                MaxSizeBytes = OptionalNumber(data, "max-size"),
                BlockSizeBytes = OptionalNumber(data, "block-size"),
            });
        }

        return devices.AsReadOnly();
    }

    private static JsonElement.ArrayEnumerator Entries(JsonElement list) =>
        list.GetArrayLength() <= MaxEntries ? list.EnumerateArray() : throw Unexpected($"a list of more than {MaxEntries} entries");

    private static JsonElement Member(JsonElement owner, string name, JsonValueKind kind) =>
        OptionalMember(owner, name, kind) ?? throw Unexpected($"a value without the member {name}");

    private static JsonElement? OptionalMember(JsonElement owner, string name, JsonValueKind kind)
    {
        if (owner.ValueKind != JsonValueKind.Object)
        {
            throw Unexpected("a value that is not an object");
        }

        if (!owner.TryGetProperty(name, out JsonElement member))
        {
            return null;
        }

        return member.ValueKind == kind ? member : throw Unexpected($"a member {name} of an unexpected type");
    }

    private static string Text(JsonElement owner, string name, int maxLength) =>
        QmpNames.Clean(Member(owner, name, JsonValueKind.String).GetString()!, maxLength);

    private static string? OptionalText(JsonElement owner, string name, int maxLength) =>
        OptionalMember(owner, name, JsonValueKind.String) is { } member ? QmpNames.Clean(member.GetString()!, maxLength) : null;

    private static long Number(JsonElement owner, string name) =>
        OptionalNumber(owner, name) ?? throw Unexpected($"a value without the member {name}");

    private static long? OptionalNumber(JsonElement owner, string name)
    {
        if (OptionalMember(owner, name, JsonValueKind.Number) is not { } member)
        {
            return null;
        }

        return member.TryGetInt64(out long value) ? value : throw Unexpected($"a member {name} that is no 64-bit integer");
    }

    private static QmpProtocolException Unexpected(string what) => new($"QEMU returned {what}");
}
