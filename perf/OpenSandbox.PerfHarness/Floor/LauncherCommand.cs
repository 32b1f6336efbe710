using System.Globalization;
using System.Text.RegularExpressions;

namespace OpenSandbox.PerfHarness.Floor;

/// <summary>
/// The command line of a sandbox that the library has started, read back from the kernel: the floor uses the very same, so that it cannot
/// drift from the library. Every descriptor in it must have a known part to play; a new kind stops the harness until the floor knows it too.
/// </summary>
internal sealed partial class LauncherCommand
{
    /// <summary>What the floor program replaces with a uid of its own.</summary>
    private const string UidMark = "@UID@";

    /// <summary>What it replaces with its own process id.</summary>
    private const string PidMark = "@PID@";

    private LauncherCommand(string[] arguments, string[] roles)
    {
        Arguments = arguments;
        Roles = roles;
    }

    /// <summary>Launcher, its options, and QEMU's command line.</summary>
    internal IReadOnlyList<string> Arguments { get; }

    /// <summary>What each of the child's descriptors is, from 0.</summary>
    internal IReadOnlyList<string> Roles { get; }

    /// <summary>Reads the command line of a running launcher.</summary>
    /// <exception cref="InvalidOperationException">It has a descriptor that the floor program does not know.</exception>
    internal static LauncherCommand Of(int launcherPid)
    {
        string[] arguments = WithoutCgroups(File.ReadAllText($"/proc/{launcherPid}/cmdline").TrimEnd('\0').Split('\0'));
        int keep = int.Parse(After(arguments, "--keep"), CultureInfo.InvariantCulture);
        string?[] roles = new string?[keep + 1];
        roles[0] = "null";
        roles[1] = roles[2] = "output";
        roles[int.Parse(After(arguments, "--status-fd"), CultureInfo.InvariantCulture)] = "status";
        for (int i = 0; i < arguments.Length; i++)
        {
            if (arguments[i] is "--uid" or "--gid")
            {
                arguments[i + 1] = UidMark;
            }
            else if (arguments[i] == "--parent")
            {
                arguments[i + 1] = PidMark;
            }

            foreach ((int descriptor, string role) in RolesOf(arguments[i]))
            {
                roles[descriptor] = role;
            }
        }

        int unknown = Array.IndexOf(roles, null);
        return unknown < 0
            ? new LauncherCommand(arguments, roles!)
            : throw new InvalidOperationException(
                $"descriptor {unknown} of the library's command line has no known part to play: teach it to LauncherCommand and to perf/floor. "
                    + string.Join(' ', arguments));
    }

    /// <summary>A sandbox's cgroups are its own and go with it: what they cost is on the library's side alone.</summary>
    private static string[] WithoutCgroups(string[] arguments) =>
        [.. arguments.Where((argument, i) => argument != "--cgroup" && (i == 0 || arguments[i - 1] != "--cgroup"))];

    private static string After(string[] arguments, string option) =>
        Array.IndexOf(arguments, option) is int at and >= 0 && at + 1 < arguments.Length
            ? arguments[at + 1]
            : throw new InvalidOperationException($"the launcher's command line has no {option}");

    private static IEnumerable<(int Descriptor, string Role)> RolesOf(string argument)
    {
        if (MemoryFile().Match(argument) is { Success: true } memory)
        {
            string role = memory.Groups["id"].Value switch
            {
                "ram" => "ram",
                "plug" => $"plug:{memory.Groups["size"].Value}",
                string id => throw new InvalidOperationException($"unknown memory '{id}'"),
            };
            yield return (Number(memory, "fd"), role);
        }

        if (CharacterDevice().Match(argument) is { Success: true } device)
        {
            yield return (Number(device, "fd"), device.Groups["id"].Value);
        }

        if (Incoming().Match(argument) is { Success: true } incoming)
        {
            yield return (Number(incoming, "fd"), "state");
        }

        if (DescriptorSet().Match(argument) is { Success: true } set)
        {
            yield return (Number(set, "fd"), Number(set, "set") switch
            {
                1 => "overlay0",
                2 => "base0",
                3 => "overlay1",
                4 => "base1",
                100 => "layer0",
                300 => "layer1",
                int number => throw new InvalidOperationException($"unknown descriptor set {number}"),
            });
        }
    }

    private static int Number(Match match, string group) => int.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex("\"id\":\"(?<id>[a-z]+)\",\"size\":(?<size>[0-9]+),\"mem-path\":\"/proc/self/fd/(?<fd>[0-9]+)\"", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex MemoryFile();

    [GeneratedRegex("^socket,id=(?<id>qmp|control|bulk|network|console),fd=(?<fd>[0-9]+)$", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex CharacterDevice();

    [GeneratedRegex("^fd:(?<fd>[0-9]+)$", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Incoming();

    [GeneratedRegex("^fd=(?<fd>[0-9]+),set=(?<set>[0-9]+)$", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex DescriptorSet();
}
