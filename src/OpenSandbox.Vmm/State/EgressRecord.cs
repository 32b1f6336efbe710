using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>An <see cref="EgressPolicy"/> as it is kept.</summary>
internal sealed record EgressRecord
{
    private const int MaxRuleBytes = 1_024;

    /// <summary>What happens where no rule matches: <c>allow</c> or <c>deny</c>.</summary>
    public required string DefaultAction { get; init; }

    /// <summary>The rules, as <see cref="EgressRule.Parse"/> reads them.</summary>
    public required IReadOnlyList<string> Rules { get; init; }

    internal static EgressRecord From(EgressPolicy policy) => new()
    {
        DefaultAction = policy.DefaultAction == EgressAction.Allow ? "allow" : "deny",
        Rules = [.. policy.Rules.Select(static rule => rule.ToString())],
    };

    internal EgressPolicy ToPolicy() =>
        EgressPolicy.Parse(DefaultAction == "allow" ? EgressAction.Allow : EgressAction.Deny, Rules);

    internal void Validate(string field)
    {
        ManifestRules.Require(DefaultAction is "allow" or "deny", $"{field}.defaultAction", "it is neither 'allow' nor 'deny'");
        ManifestRules.Range(Rules.Count, 0, EgressPolicy.MaxRules, $"{field}.rules (entries)");
        for (int index = 0; index < Rules.Count; index++)
        {
            ManifestRules.Text(Rules[index], 1, MaxRuleBytes, $"{field}.rules[{index}]");
            ManifestRules.Require(EgressRule.TryParse(Rules[index], out _), $"{field}.rules[{index}]", $"'{Rules[index]}' is no rule");
        }
    }
}
