using System.Globalization;

namespace OpenSandbox.Vmm.Tests.State.Model;

/// <summary>What there should be: each sandbox and checkpoint with the numbers on its disk and the one in its memory. Immutable.</summary>
internal sealed record ModelWorld(IReadOnlyDictionary<string, ModelBox> Sandboxes, IReadOnlyDictionary<string, ModelBox> Checkpoints)
{
    internal static ModelWorld Empty { get; } = new(new Dictionary<string, ModelBox>(), new Dictionary<string, ModelBox>());

    internal ModelWorld With(string sandbox, ModelBox? box) => this with { Sandboxes = Set(Sandboxes, sandbox, box) };

    internal ModelWorld WithCheckpoint(string checkpoint, ModelBox? box) => this with { Checkpoints = Set(Checkpoints, checkpoint, box) };

    /// <summary>All of it as text: two worlds are the same if that is.</summary>
    public override string ToString() => string.Join('\n', Lines("sandbox", Sandboxes).Concat(Lines("checkpoint", Checkpoints)));

    private static IEnumerable<string> Lines(string what, IReadOnlyDictionary<string, ModelBox> boxes) => boxes
        .OrderBy(static entry => entry.Key, StringComparer.Ordinal)
        .Select(entry => string.Create(
            CultureInfo.InvariantCulture, $"{what} {entry.Key}: {entry.Value.State}, disk {string.Join(',', entry.Value.Disk)}, memory {entry.Value.Ram}"));

    private static Dictionary<string, ModelBox> Set(IReadOnlyDictionary<string, ModelBox> boxes, string key, ModelBox? box)
    {
        var next = new Dictionary<string, ModelBox>(boxes, StringComparer.Ordinal);
        next.Remove(key);
        if (box is not null)
        {
            next[key] = box;
        }

        return next;
    }
}

/// <summary>One sandbox or checkpoint.</summary>
/// <param name="State">Where it is in its life.</param>
/// <param name="Disk">What is on its disk.</param>
/// <param name="Ram">What is in its memory; 0 after a boot, and while there is none.</param>
internal sealed record ModelBox(SandboxState State, IReadOnlyList<int> Disk, int Ram);
