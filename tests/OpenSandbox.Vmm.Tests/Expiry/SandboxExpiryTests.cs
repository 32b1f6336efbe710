namespace OpenSandbox.Vmm.Tests.Expiry;

public sealed class SandboxExpiryTests
{
    private static readonly DateTimeOffset s_now = new(2026, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public static TheoryData<SandboxExpiry, string> Wrong => new()
    {
        { new SandboxExpiry { IdleTimeout = TimeSpan.Zero }, "an idle timeout of 00:00:00: it must be from 0.1 s to 36500 days, or null for none" },
        { new SandboxExpiry { IdleTimeout = TimeSpan.FromMilliseconds(99) }, "an idle timeout" },
        { new SandboxExpiry { Lifetime = TimeSpan.FromSeconds(-1) }, "a lifetime of -00:00:01" },
        { new SandboxExpiry { Lifetime = TimeSpan.FromDays(36_501) }, "36500 days" },
        { new SandboxExpiry { Deadline = s_now }, "in the future" },
        { new SandboxExpiry { Deadline = DateTimeOffset.MaxValue }, "at most 36500 days" },
        { new SandboxExpiry { Deadline = s_now.AddDays(1), Lifetime = TimeSpan.FromDays(1) }, "give one of them" },
        { new SandboxExpiry { Action = (SandboxExpiryAction)2 }, "Kill or Hibernate" },
    };

    [Theory]
    [MemberData(nameof(Wrong))]
    public void Validate_WrongValue_SaysWhatAndWhy(SandboxExpiry expiry, string text) =>
        Assert.Contains(text, Assert.ThrowsAny<ArgumentException>(() => expiry.Validate(s_now)).Message, StringComparison.Ordinal);

    [Fact]
    public void Validate_OutermostValues_AreAccepted()
    {
        SandboxExpiry.Never.Validate(s_now);
        new SandboxExpiry { IdleTimeout = SandboxExpiry.MinTime, Lifetime = SandboxExpiry.MaxTime }.Validate(s_now);
        new SandboxExpiry { Deadline = s_now + SandboxExpiry.MaxTime, Action = SandboxExpiryAction.Hibernate }.Validate(s_now);
    }

    [Fact]
    public void Spec_WrongExpiry_IsRefused() =>
        Assert.ThrowsAny<ArgumentException>(() => new SandboxSpec { Expiry = new SandboxExpiry { IdleTimeout = TimeSpan.Zero } }.Validate(new SandboxHostOptions()));
}
