using System.Globalization;
using System.Text;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>What lists of processes have in common.</summary>
internal static class ProcessEntries
{
    private const int MaxCommandCharacters = 512;

    /// <summary>The id of an event source's key.</summary>
    internal static string Id(uint key) => key.ToString("x8", CultureInfo.InvariantCulture);

    /// <summary>The key of an id.</summary>
    internal static uint Key(string id) =>
        id.Length == 8 && uint.TryParse(id, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint key)
            ? key
            : throw GuestException.Coded(AgentErrorCodes.InvalidRequest, "id: 8 hexadecimal digits");

    /// <summary>A moment of <see cref="ClockTicks"/>, microseconds, as nanoseconds since the Unix epoch by the clock of now.</summary>
    internal static long WallClock(long microseconds) =>
        ((TimeProvider.System.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks * 100) - ((ClockTicks.Microseconds - microseconds) * 1000);

    /// <summary>Arguments, cut to a bound over all of them.</summary>
    internal static string[] Shortened(string[] argv)
    {
        var shown = new List<string>();
        int left = MaxCommandCharacters;
        foreach (string argument in argv)
        {
            if (argument.Length + 1 > left)
            {
                int cut = Math.Max(0, left - 1);
                cut -= cut > 0 && char.IsHighSurrogate(argument[cut - 1]) ? 1 : 0;
                shown.Add(argument[..cut] + "…");
                break;
            }

            shown.Add(argument);
            left -= argument.Length + 1;
        }

        return [.. shown];
    }

    /// <summary>A user's name, cut to a bound.</summary>
    internal static string Shortened(string user) => user.Length <= 64 ? user : user[..63] + "…";
}
