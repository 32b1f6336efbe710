using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.Api;

/// <summary>A command: <c>exec/run</c>, <c>exec/run-async</c> and <c>exec</c>.</summary>
internal sealed record ExecRequest : IChecked
{
    public string? Cmd { get; init; }

    public string[]? Args { get; init; }

    public Dictionary<string, string>? Envs { get; init; }

    public string? Cwd { get; init; }

    /// <summary>Seconds; 0: none.</summary>
    public double? Timeout { get; init; }

    /// <summary>How long a session goes on when its last client has left, seconds.</summary>
    public int? MaxRunAfterDisconnect { get; init; }

    /// <inheritdoc/>
    public void Check()
    {
        Checks.Text(Cmd, int.MaxValue, "cmd");
        Checks.List(Args, "args");
        Checks.Map(Envs, "envs");
        Checks.Text(Cwd, 4_095, "cwd");
    }
}
