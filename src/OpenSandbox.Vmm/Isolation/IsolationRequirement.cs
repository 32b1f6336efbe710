namespace OpenSandbox.Vmm;

/// <summary>
/// What must stand between QEMU and the host. What is required and not to be had makes creating, waking and forking fail with
/// <see cref="SandboxIsolationException"/>; nothing becomes weaker silently. Immutable.
/// </summary>
/// <example>
/// <code>
/// var options = new SandboxHostOptions { Isolation = IsolationRequirement.Require(IsolationLevel.Full, IsolationControl.MemoryLimit) };
/// </code>
/// </example>
public sealed record IsolationRequirement
{
    private IsolationRequirement(IsolationLevel? level, IReadOnlyList<IsolationControl> controls)
    {
        Level = level;
        Controls = controls;
    }

    /// <summary>The weakest level that will do; <see langword="null"/>: any.</summary>
    public IsolationLevel? Level { get; }

    /// <summary>Controls that must be in force besides those of the level; in the order of the enumeration, each once.</summary>
    public IReadOnlyList<IsolationControl> Controls { get; }

    /// <summary>The best that this host and user can have, whatever that is: <c>sandbox.Isolation</c> tells. Not for untrusted code under TCG.</summary>
    public static IsolationRequirement BestEffort { get; } = new(null, []);

    /// <summary>At least this level, and these controls besides.</summary>
    /// <param name="level">
    /// The level. A host of root's makes the jail of <see cref="IsolationLevel.Full"/> for <see cref="IsolationLevel.Rootless"/>, too;
    /// for <see cref="IsolationLevel.None"/> no jail is made, on purpose.
    /// </param>
    /// <param name="controls">Controls that must be in force besides those of the level, such as <see cref="IsolationControl.MemoryLimit"/>.</param>
    /// <returns>The requirement.</returns>
    /// <exception cref="ArgumentException">A level or control does not exist.</exception>
    public static IsolationRequirement Require(IsolationLevel level, params IReadOnlyList<IsolationControl> controls)
    {
        ArgumentNullException.ThrowIfNull(controls);
        if (!Enum.IsDefined(level) || !controls.All(static control => Enum.IsDefined(control)))
        {
            throw new ArgumentException("a level or control that does not exist", nameof(level));
        }

        return new IsolationRequirement(level, Ordered(controls));
    }

    /// <summary>The same as <see cref="Require"/> without further controls.</summary>
    /// <param name="level">The level.</param>
    public static implicit operator IsolationRequirement(IsolationLevel level) => Require(level);

    /// <summary>Whether two requirements are the same.</summary>
    /// <param name="other">The other.</param>
    /// <returns>Whether they are.</returns>
    public bool Equals(IsolationRequirement? other) => other is not null && Level == other.Level && Controls.SequenceEqual(other.Controls);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Level, Controls.Count);

    /// <summary>Any there is, as it was kept.</summary>
    internal static IsolationRequirement Make(IsolationLevel? level, IReadOnlyList<IsolationControl> controls) => new(level, Ordered(controls));

    /// <summary>What fulfils both.</summary>
    internal IsolationRequirement And(IsolationRequirement? other) => other is null || other == this
        ? this
        : new IsolationRequirement(
            Stricter(Level, other.Level),
            Ordered([.. Controls, .. other.Controls]));

    // The best effort is more than none on purpose.
    private static IsolationLevel? Stricter(IsolationLevel? one, IsolationLevel? other) => (one, other) switch
    {
        (null, IsolationLevel.None) or (IsolationLevel.None, null) => null,
        (null, _) => other,
        (_, null) => one,
        _ => (IsolationLevel)Math.Min((int)one, (int)other),
    };

    private static IsolationControl[] Ordered(IReadOnlyList<IsolationControl> controls) => [.. controls.Distinct().Order()];
}
