namespace OpenSandbox.Cli.Parsing;

/// <summary>Reads <c>NAME=VALUE</c>, and <c>NAME</c> alone for a variable of this program's own environment.</summary>
internal static class EnvironmentAssignments
{
    /// <summary>Reads assignments; of two for one name the later counts.</summary>
    /// <param name="texts">What the user wrote.</param>
    /// <param name="inherit">Looks a variable of this program up.</param>
    /// <returns>The variables.</returns>
    /// <exception cref="UsageException">One has no name, or names a variable that is not set.</exception>
    internal static Dictionary<string, string> Parse(IReadOnlyList<string> texts, Func<string, string?> inherit)
    {
        var variables = new Dictionary<string, string>(texts.Count, StringComparer.Ordinal);
        foreach (string text in texts)
        {
            int split = text.IndexOf('=', StringComparison.Ordinal);
            string name = split < 0 ? text : text[..split];
            if (name.Length == 0)
            {
                throw new UsageException($"option --env: '{text}' has no name; write NAME=VALUE");
            }

            variables[name] = split < 0
                ? inherit(name) ?? throw new UsageException($"option --env: {name} is not set here, so there is nothing to pass on; write {name}=VALUE")
                : text[(split + 1)..];
        }

        return variables;
    }
}
