namespace OpenSandbox.Vmm;

/// <summary>Answer to a guest that asked for another size.</summary>
/// <param name="Limits">What is in force, where the request was carried out.</param>
/// <param name="Refusal">Why it was not.</param>
/// <param name="Text">The same in words that the guest may read: nothing about the host.</param>
internal sealed record GuestScaleReply(SandboxLimits? Limits, GuestScaleRefusal Refusal, string Text)
{
    internal static GuestScaleReply Accepted(SandboxLimits limits) => new(limits, GuestScaleRefusal.None, "");

    internal static GuestScaleReply Refused(GuestScaleRefusal why, string text) => new(null, why, text);
}
