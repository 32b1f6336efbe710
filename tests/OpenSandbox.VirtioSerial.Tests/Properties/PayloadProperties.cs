using System.Buffers;
using System.Text;
using FsCheck;
using FsCheck.Fluent;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>JSON and data of the guest.</summary>
public sealed class PayloadProperties
{
    private static readonly Gen<string> s_token = Gen.Elements(
        "{", "}", "[", "]", ",", ":", "\"", "\"exitCode\"", "\"code\"", "\"message\"", "\"file\"", "\"path\"", "\"type\"", "\"generation\"",
        "null", "true", "1", "-1", "1e999", "99999999999999999999", "\"x\"", "\"\\u0000\"", "\"\\ud800\"", " ", "//", "\u00E9", "{\"file\":", "[[[[");

    /// <summary>Text that is nearly JSON, with a byte or two that is not even text.</summary>
    private static readonly Gen<byte[]> s_nearlyJson =
        from tokens in s_token.ArrayOf()
        from objects in Gen.Elements(true, true, false)
        from noise in Gen.Frequency((3, Gen.Constant(Array.Empty<byte>())), (1, Cases.Bytes))
        select (byte[])[.. Encoding.UTF8.GetBytes(objects ? "{" + string.Concat(tokens) + "}" : string.Concat(tokens)), .. noise];

    [Fact]
    public void AnyBytes_AsJson_AreReadOrRefusedAsAProtocolViolation() => Cases.ForAll(
        Gen.OneOf(s_nearlyJson, Cases.Bytes),
        bytes =>
        {
            bool stored = Refuses(() => Store(bytes, FrameType.Result));
            bool parsed = Refuses(() => StoredPayload.Parse(new ReadOnlySequence<byte>(bytes), ProtocolJsonContext.Default.AgentHello, FrameType.Hello))
                | Refuses(() => StoredPayload.Parse(new ReadOnlySequence<byte>(bytes), ProtocolJsonContext.Default.AgentError, FrameType.Error))
                | Refuses(() => StoredPayload.Parse(new ReadOnlySequence<byte>(bytes), ProtocolJsonContext.Default.StartedReply, FrameType.Started));

            // Whatever is refused as JSON is no value of any type either.
            return !stored || parsed;
        });

    [Fact]
    public void Json_NestedTooDeeply_IsRefused() => Cases.ForAll(
        Gen.Choose(1, 2_000),
        depth =>
        {
            byte[] json = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("{\"a\":", depth)) + "1" + new string('}', depth));
            return Refuses(() => Store(json, FrameType.Result)) == (depth > StoredPayload.MaxDepth);
        },
        divisor: 20);

    [Fact]
    public void GuestMessages_WithAnyCharacters_AreBoundedAndPrintable() => Cases.ForAll(
        Gen.Choose(0, 0xFFFF).Select(value => (char)value).ArrayOf().Select(chars => new string(chars)),
        text =>
        {
            var error = GuestOperationException.FromAgent("exec", new AgentError { Code = text, Message = text + new string('x', 2_000) });
            return error.Message.Length <= 1_100 && error.Code.Length <= 64 && !error.Message.Any(char.IsControl) && !error.Code.Any(char.IsControl);
        },
        divisor: 4);

    /// <summary>Appends and consumption in any order, against a plain list.</summary>
    [Fact]
    public void DataQueue_AnyAppendsAndReads_GivesTheSameBytesInOrder() => Cases.ForAll(
        (from append in Gen.Elements(true, true, false)
         from channel in Gen.Choose(0, 2)
         from length in Gen.Frequency((3, Gen.Choose(1, 20)), (2, Gen.Choose(1, 5_000)), (1, Gen.Choose(1, ProtocolConstants.MaxPayloadSize)))
         select (append, channel, length)).ArrayOf(),
        steps =>
        {
            var queue = new DataQueue();
            var model = new Queue<(DataChannel Channel, byte Value)>();
            byte value = 0;
            foreach ((bool append, int channel, int length) in steps)
            {
                if (append)
                {
                    var bytes = new byte[length];
                    for (int i = 0; i < length; i++)
                    {
                        bytes[i] = value++;
                        model.Enqueue(((DataChannel)channel, bytes[i]));
                    }

                    queue.Append((DataChannel)channel, bytes);
                }
                else if (queue.TryPeek(out DataChannel head, out ReadOnlyMemory<byte> bytes))
                {
                    int count = Math.Min(length, bytes.Length);
                    foreach (byte expected in bytes.Span[..count])
                    {
                        if (model.Dequeue() != (head, expected))
                        {
                            return false;
                        }
                    }

                    queue.Consume(count);
                }

                if (queue.IsEmpty != (model.Count == 0))
                {
                    return false;
                }
            }

            queue.Clear();
            return queue.IsEmpty;
        },
        divisor: 20);

    private static void Store(byte[] bytes, FrameType type)
    {
        var payload = default(StoredPayload);
        try
        {
            payload.Store(new ReadOnlySequence<byte>(bytes), type);
        }
        finally
        {
            payload.Clear();
        }
    }

    private static bool Refuses(Action action)
    {
        try
        {
            action();
            return false;
        }
        catch (GuestProtocolException e) when (e.Violation == ProtocolViolation.InvalidPayload)
        {
            return true;
        }
    }
}
