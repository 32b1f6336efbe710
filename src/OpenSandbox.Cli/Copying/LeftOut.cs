using OpenSandbox.Cli.Reporting;

namespace OpenSandbox.Cli.Copying;

/// <summary>What a copy could not or would not take along; each is told, up to a bound, and the exit code says that there is some.</summary>
internal sealed class LeftOut(ErrorWriter errors)
{
    private const int Told = 20;
    private int _count;

    /// <summary>Whether there is anything.</summary>
    internal bool Any => _count > 0;

    /// <summary>Tells of something.</summary>
    internal void Add(string path, string why)
    {
        if (++_count <= Told)
        {
            errors.Line($"left out {path}: {why}");
        }
    }

    /// <summary>Tells of what has not been told.</summary>
    internal void Finish()
    {
        if (_count > Told)
        {
            errors.Line($"left out {_count - Told} more");
        }
    }
}
