using System.IO.Pipelines;
using System.Text;
using System.Text.Json;
using OpenSandbox.Host.Api;
using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.Tests.Contract;

public sealed class ExecReplyWriterTests
{
    [Theory]
    [InlineData(0, "")]
    [InlineData(1, "Process timed out")]
    [InlineData(2, "")]
    [InlineData(3, "\nProcess timed out")]
    public async Task WriteAsync_AnyBytes_IsWhatTheirTextIs(int seed, string end)
    {
        var random = new Random(seed);
        byte[] output = Make(random, 200_000);
        byte[] error = Make(random, seed * 30_001);
        using var written = new MemoryStream();
        PipeWriter writer = PipeWriter.Create(written);
        await ExecReplyWriter.WriteAsync(writer, seed - 1, output, error, end, truncated: seed == 2, Deadline.In(30));
        await writer.CompleteAsync();

        var reply = new ExecReply(seed - 1, Encoding.UTF8.GetString(output), Encoding.UTF8.GetString(error) + end, seed == 2 ? true : null);
        Assert.Equal(JsonSerializer.SerializeToUtf8Bytes(reply, HostJsonContext.Default.ExecReply), written.ToArray());
    }

    /// <summary>Text of one to four bytes a character, quotes and control characters, and bytes that are no text.</summary>
    private static byte[] Make(Random random, int length)
    {
        using var made = new MemoryStream();
        string[] pieces = ["plain text\r\n", "\"\\\u0001", "äöü", "漢字", "😀"];
        while (made.Length < length)
        {
            byte[] noise = new byte[3];
            random.NextBytes(noise);
            made.Write(random.Next(6) is < 5 and int piece ? Encoding.UTF8.GetBytes(pieces[piece]) : noise);
        }

        return made.ToArray()[..length];
    }
}
