using System.Buffers;
using System.Text;
using System.Text.Json;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm.Tests;

/// <summary>What a guest sends of several files.</summary>
public sealed class FileRecordsTests
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    [Fact]
    public void Add_TwoFilesByteByByte_ComeBackInOrder()
    {
        Write("/a", "one");
        Write("/b", "");
        using var records = new FileRecords(null!, ["/a", "/b"], 10);
        foreach (byte one in _bytes.WrittenSpan)
        {
            records.Add([one]);
        }

        records.RequireAll();
        Assert.True(records.TryTake(out SandboxFileResult? first) && records.TryTake(out SandboxFileResult? second) && second.Path == "/b");
        Assert.Equal(("/a", "one"), (first.Path, Encoding.UTF8.GetString(first.Content.Span)));
        Assert.False(records.TryTake(out _));
    }

    [Fact]
    public void Add_MoreFilesThanAskedFor_IsRefused()
    {
        Write("/a", "");
        Write("/b", "");
        using var records = new FileRecords(null!, ["/a"], 10);

        Assert.Throws<InvalidDataException>(() => records.Add(_bytes.WrittenSpan));
    }

    [Fact]
    public void Add_FileLargerThanAskedFor_IsRefusedBeforeItIsKept()
    {
        Write("/a", new string('x', 11));
        using var records = new FileRecords(null!, ["/a"], 10);

        Assert.Throws<InvalidDataException>(() => records.Add(_bytes.WrittenSpan));
    }

    [Fact]
    public void RequireAll_SomethingIsMissing_IsRefused()
    {
        Write("/a", "x");
        using var records = new FileRecords(null!, ["/a", "/b"], 10);
        records.Add(_bytes.WrittenSpan);

        Assert.Throws<InvalidDataException>(records.RequireAll);
    }

    [Fact]
    public void Add_HeadThatIsNoJson_IsRefused()
    {
        new RecordWriter(_bytes).WriteHead("{"u8);
        using var records = new FileRecords(null!, ["/a"], 10);

        Assert.ThrowsAny<JsonException>(() => records.Add(_bytes.WrittenSpan));
    }

    private void Write(string path, string content)
    {
        var record = new RecordWriter(_bytes);
        record.WriteHead(JsonSerializer.SerializeToUtf8Bytes(new ItemReply { Path = path }, ProtocolJsonContext.Default.ItemReply));
        record.WriteContent(Encoding.UTF8.GetBytes(content));
        record.WriteEnd();
    }
}
