using System.Globalization;

namespace OpenSandbox.FaultHost;

/// <summary>What happens when a failpoint is reached for the Nth time: <c>NAME:N=ACTION</c>.</summary>
/// <param name="Point">The failpoint.</param>
/// <param name="At">How often it has been reached then, this time included.</param>
/// <param name="Action"><c>kill</c> this process, <c>qemu</c>: kill the VMs, or the error <c>eio</c> or <c>enospc</c>.</param>
internal sealed record FaultStep(string Point, int At, string Action)
{
    /// <summary>Reads steps with commas between them; <c>-</c> is none.</summary>
    internal static List<FaultStep> ParseAll(string text) => text == "-" ? [] :
    [
        .. text.Split(',').Select(static step =>
        {
            string[] halves = step.Split('=', 2);
            string[] place = halves[0].Split(':', 2);
            return new FaultStep(place[0], int.Parse(place[1], CultureInfo.InvariantCulture), halves[1]);
        }),
    ];
}
