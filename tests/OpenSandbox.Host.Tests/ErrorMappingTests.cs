using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Tests;

public sealed class ErrorMappingTests
{
    private static readonly SandboxException[] s_ofThisMachine =
    [
        new SandboxStartException("sb-1", "starting QEMU", "exit code 1", "qemu-system: /srv/state/x: no"),
        new SandboxOperationException(SandboxErrorCode.OperationFailed, "sb-1", 0, "sandbox sb-1: hibernating: /srv/state/x: no", new IOException("/srv/state/x: no")),
        new SandboxOperationException(SandboxErrorCode.NoSpace, "sb-1", 28, "the host's disk is full (/srv/state/x)", new IOException("/srv/state/x")),
        new SandboxSnapshotException("sb-1", "sandbox sb-1 cannot be deleted", ["/srv/state/x: no"]),
        new SandboxLostException("sb-1", new SandboxExit(SandboxExitReason.VmmEnded, "signal 9", "qemu-system: /srv/state/x", "/srv/state/x")),
    ];

    public static TheoryData<SandboxErrorCode> Codes => [.. Enum.GetValues<SandboxErrorCode>()];

    [Theory]
    [MemberData(nameof(Codes))]
    public void StatusOf_EveryCode_HasOne(SandboxErrorCode code) => Assert.InRange(ErrorMapping.StatusOf(code), 400, 599);

    [Theory]
    [MemberData(nameof(Codes))]
    public void CodeOf_EveryCode_IsAWordForPrograms(SandboxErrorCode code) => Assert.Matches("^[a-z]+(_[a-z]+)*$", ErrorMapping.CodeOf(code));

    [Fact]
    public void CodeOf_AllCodes_Differ() =>
        Assert.Equal(Enum.GetValues<SandboxErrorCode>().Length, Enum.GetValues<SandboxErrorCode>().Select(ErrorMapping.CodeOf).Distinct().Count());

    [Theory]
    [InlineData(SandboxErrorCode.NotFound, 404)]
    [InlineData(SandboxErrorCode.InvalidRequest, 400)]
    [InlineData(SandboxErrorCode.Lost, 410)]
    [InlineData(SandboxErrorCode.Capacity, 503)]
    [InlineData(SandboxErrorCode.NoSpace, 507)]
    public void StatusOf_Code_IsWhatIsDocumented(SandboxErrorCode code, int status) => Assert.Equal(status, ErrorMapping.StatusOf(code));

    [Fact]
    public void StatusOf_UnknownCode_IsADefect() => Assert.Throws<ArgumentOutOfRangeException>(() => ErrorMapping.StatusOf((SandboxErrorCode)999));

    [Fact]
    public void From_WhatThisMachineSays_IsForTheLogAndNotForClients() => Assert.All(s_ofThisMachine, static failure =>
    {
        using var log = new ErrorLog();
        ApiException answer = ErrorMapping.From(failure, log.CreateLogger("any", LogLevel.Warning), "r-1");

        Assert.DoesNotContain("/srv", answer.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("QEMU said", answer.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("/srv", ErrorMapping.TextOf(failure), StringComparison.Ordinal);
        Assert.Contains("r-1", answer.Message, StringComparison.Ordinal);
        Assert.Contains(log.Errors, static line => line.Contains("r-1", StringComparison.Ordinal) && line.Contains("/srv/state/x", StringComparison.Ordinal));
    });

    [Fact]
    public void From_WhatIsTheClientsDoing_SaysItAndIsNotLogged()
    {
        using var log = new ErrorLog();
        var failure = new SandboxOperationException(SandboxErrorCode.NotFound, "sb-1", 2, "sandbox sb-1: reading /tmp/x: No such file");

        Assert.Equal(failure.Message, ErrorMapping.From(failure, log.CreateLogger("any", LogLevel.Warning), "r-1").Message);
        Assert.Empty(log.Errors);
    }

    [Fact]
    public async Task Middleware_FullDisk_Is507()
    {
        using var log = new LoggerFactory();
        var context = new DefaultHttpContext();
        using var body = new MemoryStream();
        context.Response.Body = body;

        await new ErrorMiddleware(static _ => throw new IOException("write /srv/state/x: No space left on device", 28), log.CreateLogger<ErrorMiddleware>()).InvokeAsync(context);

        Assert.Equal(507, context.Response.StatusCode);
        Assert.Equal("""{"error":"the server\u0027s disk is full","code":"no_space"}""", System.Text.Encoding.UTF8.GetString(body.ToArray()));
    }
}
