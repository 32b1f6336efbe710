using System.Text.Json.Serialization;

namespace OpenSandbox.Vmm.State;

/// <summary>An <see cref="IsolationRequirement"/> as it is kept.</summary>
internal sealed record IsolationRecord
{
    /// <summary>The weakest level that will do; nothing: any.</summary>
    [JsonConverter(typeof(StrictEnumConverter<IsolationLevel>))]
    public IsolationLevel? Level { get; init; }

    /// <summary>Names of <see cref="IsolationControl"/>s that must be in force besides.</summary>
    public IReadOnlyList<string> Controls { get; init; } = [];

    internal static IsolationRecord? From(IsolationRequirement? requirement) => requirement is null
        ? null
        : new IsolationRecord { Level = requirement.Level, Controls = [.. requirement.Controls.Select(static control => control.ToString())] };

    internal IsolationRequirement ToRequirement() =>
        IsolationRequirement.Make(Level, [.. Controls.Select(static name => Enum.Parse<IsolationControl>(name))]);

    internal void Validate(string field)
    {
        const int most = 64;
        ManifestRules.Require(Level is not IsolationLevel level || Enum.IsDefined(level), $"{field}.level", $"{Level} is none");
        ManifestRules.Range(Controls.Count, 0, most, $"{field}.controls (entries)");
        ManifestRules.Require(
            Controls.All(static name => Enum.TryParse(name, ignoreCase: false, out IsolationControl control) && control.ToString() == name),
            $"{field}.controls",
            "a control that this version does not know");
    }
}
