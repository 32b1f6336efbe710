using System.Text;

namespace OpenSandbox.Vmm;

/// <summary>How a checkpoint is made. Immutable.</summary>
public sealed record CheckpointOptions
{
    private const int MaxNameBytes = 256;

    internal static CheckpointOptions Default { get; } = new();

    /// <summary>What its owner calls it, 1 to 256 bytes; names need not be unique. Default: none.</summary>
    public string? Name { get; init; }

    /// <summary>What it holds. Default: <see cref="CheckpointKind.Full"/>.</summary>
    public CheckpointKind Kind { get; init; }

    /// <summary>
    /// How many checkpoints of the sandbox may be left: the oldest ones beyond that are deleted when the new one is there, but none that is
    /// <see cref="Retained"/>. 1 to 10,000. Default: all.
    /// </summary>
    public int? KeepLast { get; init; }

    /// <summary>Whether it stays whatever <see cref="KeepLast"/> of later ones says. Default: no.</summary>
    public bool Retained { get; init; }

    internal void Validate()
    {
        if (Name is not null && (Name.Length == 0 || Encoding.UTF8.GetByteCount(Name) > MaxNameBytes || Name.Any(char.IsControl)))
        {
            throw new ArgumentException($"a checkpoint's name has 1 to {MaxNameBytes} bytes and no control characters", nameof(Name));
        }

        if (!Enum.IsDefined(Kind))
        {
            throw new ArgumentException($"there is no kind {Kind} of checkpoint", nameof(Kind));
        }

        if (KeepLast is < 1 or > 10_000)
        {
            throw new ArgumentException($"{KeepLast} checkpoints to keep: 1 to 10,000", nameof(KeepLast));
        }
    }
}
