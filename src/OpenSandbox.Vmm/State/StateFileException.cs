namespace OpenSandbox.Vmm.State;

/// <summary>A file or directory of the state directory is missing, damaged, or not what it should be. Nothing of it has been changed.</summary>
internal class StateFileException : IOException
{
    internal StateFileException(string path, string problem, string remedy, Exception? inner = null)
        : base($"{path}: {problem}. {remedy}", inner)
    {
        Path = path;
        Problem = problem;
        Remedy = remedy;
    }

    /// <summary>The file or directory.</summary>
    internal string Path { get; }

    /// <summary>What is wrong with it.</summary>
    internal string Problem { get; }

    /// <summary>What to do about it.</summary>
    internal string Remedy { get; }
}
