using OpenSandbox.Cli.Control;

namespace OpenSandbox.Cli.Keeping;

/// <summary>What a keeper tells whoever started it, a line of JSON each; one of the properties is set but for <see cref="Woken"/>.</summary>
internal sealed record KeeperMessage
{
    /// <summary>Something for people: long work has begun or ended.</summary>
    public string? Text { get; init; }

    /// <summary>The sandbox is ready and can be reached. The last message.</summary>
    public string? Ready { get; init; }

    /// <summary>How it came back, with <see cref="Ready"/>, if it was woken.</summary>
    public WakeRow? Woken { get; init; }

    /// <summary>There will be no sandbox. The last message.</summary>
    public ControlFailure? Failure { get; init; }
}
