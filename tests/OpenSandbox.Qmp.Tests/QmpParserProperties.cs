using System.Buffers;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.Qmp.Protocol;
using OpenSandbox.Qmp.Tests.Support;

namespace OpenSandbox.Qmp.Tests;

/// <summary>Whatever bytes come, in whatever pieces: the parser understands them or says that it does not.</summary>
public sealed class QmpParserProperties
{
    private const int MaxLineBytes = 512;

    [Fact]
    public void Lines_AnyBytesInAnySplit_AreTakenOrRefusedWithBoundedBuffering() =>
        Check(QmpGen.Stream, static (bytes, cuts) =>
        {
            Feed(bytes, cuts, out int mostBuffered);
            return mostBuffered <= MaxLineBytes + cuts.Max();
        });

    [Fact]
    public void Lines_AnySplit_MeanTheSameAsTheWhole() =>
        Check(QmpGen.Stream, static (bytes, cuts) =>
            Feed(bytes, cuts, out _).SequenceEqual(Feed(bytes, [Math.Max(1, bytes.Length)], out _), StringComparer.Ordinal));

    [Fact]
    public void Lines_ThatQemuSends_AreUnderstood() =>
        Check(QmpGen.Valid, static (bytes, cuts) => Feed(bytes, cuts, out _) is [var only] && !only.StartsWith("refused", StringComparison.Ordinal));

    [Fact]
    public void Lines_NotUtf8_AreRefused()
    {
        var strict = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
        Check(QmpGen.Stream, (bytes, cuts) =>
        {
            byte[] line = [.. bytes.TakeWhile(b => b != (byte)'\n')];
            try
            {
                strict.GetCharCount(line);
                return true;
            }
            catch (DecoderFallbackException)
            {
                return Assert.Throws<QmpProtocolException>(() => { MessageParser.Parse(line); }).Message.Contains("UTF-8", StringComparison.Ordinal);
            }
        });
    }

    [Fact]
    public void Replies_AnyMessage_EveryParserReadsItOrRefusesIt() =>
        Check(QmpGen.Stream, static (bytes, cuts) =>
        {
            byte[] line = [.. bytes.TakeWhile(b => b != (byte)'\n')];
            Message message;
            try
            {
                message = MessageParser.Parse(line);
            }
            catch (QmpProtocolException)
            {
                return true;
            }

            if (message.Payload.IsEmpty)
            {
                return message.Kind == MessageKind.Event;
            }

            byte[] payload = message.Payload.ToArray();
            Try(() => Replies.ParseError(payload));
            Try(() => Replies.Nothing(payload));
            Try(() => Replies.Element(payload));
            Try(() => Replies.RunStatus(payload));
            Try(() => Replies.Greeting(payload));
            Try(() => Replies.Version(payload));
            Try(() => Replies.MigrationStatus(payload));
            Try(() => Replies.AddedDescriptor(payload));
            Try(() => Replies.MemoryDevices(payload));
            return true;
        });

    private static void Check(Gen<byte[]> bytes, Func<byte[], int[], bool> property) =>
        Prop.ForAll(bytes.ToArbitrary(), QmpGen.Cuts.ToArbitrary(), property).Check(Cases.Config());

    /// <summary>Runs a parser; only one exception is its own.</summary>
    private static void Try<T>(Func<T> parse)
    {
        try
        {
            parse();
        }
        catch (QmpProtocolException)
        {
            // Refused, as it may.
        }
    }

    /// <summary>Feeds bytes as they would come off a socket, and tells what was made of them.</summary>
    private static List<string> Feed(byte[] bytes, int[] cuts, out int mostBuffered)
    {
        var seen = new List<string>();
        var splitter = new LineSplitter(MaxLineBytes);
        int taken = 0;
        int received = 0;
        mostBuffered = 0;
        for (int i = 0; received < bytes.Length; i++)
        {
            received = Math.Min(bytes.Length, received + cuts[i % cuts.Length]);
            mostBuffered = Math.Max(mostBuffered, received - taken);
            ReadOnlySequence<byte> buffer = Segments.Cut(bytes.AsMemory(taken, received - taken), cuts);
            long before = buffer.Length;
            try
            {
                while (splitter.TryTake(ref buffer, out ReadOnlySequence<byte> line))
                {
                    Message message = MessageParser.Parse(line.ToArray());
                    seen.Add($"{message.Kind} {message.Id} {message.EventName} {message.Timestamp} {message.PayloadTokens} "
                        + Encoding.UTF8.GetString(message.Payload));
                }
            }
            catch (QmpProtocolException e)
            {
                // The client hangs up here.
                seen.Add($"refused: {e.Message}");
                return seen;
            }

            taken += (int)(before - buffer.Length);
        }

        return seen;
    }
}
