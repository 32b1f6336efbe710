using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent.Tests;

public sealed class ReplyWriterTests
{
    private static readonly FileEntry s_entry = new()
    {
        Path = "/\u00e4 \"<\ud83d\ude00\\\u0001",
        Type = "file",
        Size = long.MaxValue,
        Mode = 4095,
        Uid = uint.MaxValue,
        Gid = 0,
        ModifiedNanoseconds = long.MinValue,
    };

    private readonly ReplyWriter _writer = new();

    [Fact]
    public void Write_Reply_IsWhatTheSerializerWrites()
    {
        // One writer for all: each starts afresh.
        AssertSame(new FileResult { File = s_entry, Bytes = 1, FileMicroseconds = -2 }, ProtocolJsonContext.Default.FileResult);
        AssertSame(new FileResult { File = s_entry with { LinkTarget = "" } }, ProtocolJsonContext.Default.FileResult);
        AssertSame(new FileResult(), ProtocolJsonContext.Default.FileResult);
        AssertSame(new StartedReply(), ProtocolJsonContext.Default.StartedReply);
        AssertSame(new StartedReply { Pid = 7 }, ProtocolJsonContext.Default.StartedReply);
        AssertSame(new StartedReply { File = s_entry with { LinkTarget = "x/\u20ac" } }, ProtocolJsonContext.Default.StartedReply);
        AssertSame(s_entry, ProtocolJsonContext.Default.FileEntry);
        AssertSame(new FileResult { File = s_entry with { Details = new FileDetails { User = "\u00fc", CreatedNanoseconds = 1 } }, Count = 3 }, ProtocolJsonContext.Default.FileResult);
        AssertSame(s_entry with { LinkTarget = "t", Details = new FileDetails { Group = "g", AccessedNanoseconds = -1 } }, ProtocolJsonContext.Default.FileEntry);
        AssertSame(new AgentError { Code = "system", Errno = 2, Message = new string('\u00fc', 40_000) }, ProtocolJsonContext.Default.AgentError);
    }

    private void AssertSame<T>(T message, JsonTypeInfo<T> shape) =>
        Assert.Equal(JsonSerializer.Serialize(message, shape), Encoding.UTF8.GetString(_writer.Write(message, shape)));
}
