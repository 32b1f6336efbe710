using System.Text;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent.Tests;

public sealed class RequestAssemblerTests
{
    private readonly RequestAssembler _assembler = new();

    [Fact]
    public void Add_PartsOfTwoStreams_AreKeptApart()
    {
        Assert.Null(Add(1, """{"op":"li""", more: true));
        Assert.Null(Add(2, """{"op":"so""", more: true));
        Assert.Equal("list", Add(1, "st\"}", more: false)?.Op);
        Assert.Equal("source", Add(2, "urce\"}", more: false)?.Op);
    }

    [Theory]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("{\"op\":1}")]
    [InlineData("[[[[[[[[[[1]]]]]]]]]]")]
    [InlineData("x")]
    public void Add_NoRequest_IsRefused(string json) =>
        Assert.Equal(AgentErrorCodes.InvalidRequest, Assert.Throws<GuestException>(() => Add(1, json, more: false)).Code);

    [Fact]
    public void Add_TooLarge_IsRefusedAndForgotten()
    {
        string part = new(' ', ProtocolConstants.MaxPayloadSize);
        GuestException? refused = null;
        for (int size = 0; refused is null && size <= 2 * ProtocolConstants.MaxRequestSize; size += part.Length)
        {
            refused = Record.Exception(() => Add(1, part, more: true)) as GuestException;
        }

        Assert.Equal(AgentErrorCodes.InvalidRequest, refused?.Code);
        Assert.Equal("exec", Add(1, """{"op":"exec"}""", more: false)?.Op);
    }

    private OpenRequest? Add(uint stream, string json, bool more)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(json);
        return _assembler.Add(new FrameHeader(FrameType.Open, more ? ProtocolConstants.ContinuedFlag : (byte)0, stream, 1, bytes.Length), bytes);
    }
}
