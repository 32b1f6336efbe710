using System.Buffers;
using System.CommandLine;

namespace OpenSandbox.Cli.Commands;

/// <summary>The argument of every verb that needs a checkpoint.</summary>
internal static class CheckpointArgument
{
    private const string Start = "sn-";
    private const int Digits = 16;

    private static readonly SearchValues<char> s_digits = SearchValues.Create("0123456789abcdef");

    /// <summary>One checkpoint.</summary>
    internal static Argument<string> One() => new("CHECKPOINT") { Description = "The id of a checkpoint; see 'opensandbox checkpoint ls'" };

    /// <summary>Whether a text can be the id of a checkpoint.</summary>
    internal static bool IsId(string text) =>
        text.Length == Start.Length + Digits && text.StartsWith(Start, StringComparison.Ordinal) && !text.AsSpan(Start.Length).ContainsAnyExcept(s_digits);

    /// <summary>The text, if it can be the id of a checkpoint.</summary>
    /// <exception cref="CliException">It cannot.</exception>
    internal static string Require(string text) => IsId(text)
        ? text
        : throw new CliException($"'{text}' is not a checkpoint's id, such as sn-0123456789abcdef. See 'opensandbox checkpoint ls'");
}
