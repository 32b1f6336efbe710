using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Tests;

public sealed class ErrorMappingTests
{
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
}
