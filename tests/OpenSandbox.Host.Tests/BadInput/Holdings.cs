using System.Text;

namespace OpenSandbox.Host.Tests.BadInput;

/// <summary>What a server holds at a moment.</summary>
/// <param name="Sandboxes">Its sandboxes, its images and what each sandbox has.</param>
/// <param name="Machines">Processes of virtual machines.</param>
/// <param name="Sockets">Open sockets of the server's process.</param>
/// <param name="Files">Its other open files.</param>
/// <param name="Kept">Files in its state directory, without the books of usage, which are written once a minute.</param>
/// <param name="GuestProcesses">Processes in its sandbox.</param>
internal sealed record Holdings(string Sandboxes, int Machines, int Sockets, int Files, int Kept, int GuestProcesses)
{
    /// <summary>Connections of pools, and files that the runtime opens when it likes.</summary>
    private const int Slack = 4;

    internal static async Task<Holdings> LookAsync(ServerFixture fixture)
    {
        string box = $"/api/sandboxes/{fixture.Sandbox}";
        var sandboxes = new StringBuilder();
        foreach (string target in (string[])["/api/sandboxes", "/api/sessions", "/api/snapshots", "/api/images", "/api/tags", $"{box}/checkpoints", $"{box}/preview", $"{box}/autoscale", $"{box}/scaling-lock", $"/api/sandboxes/checkpoints/{fixture.Checkpoint}/patches"])
        {
            sandboxes.AppendLine((await fixture.DoAsync("GET", target)).Text);
        }

        // Without how many clients are attached: the end of a connection is noticed a moment later.
        sandboxes.AppendJoin(' ', (await fixture.DoAsync("GET", $"{box}/exec")).Json.EnumerateArray().Select(static session => session.GetProperty("sessionID").GetString()));
        RawAnswer processes = await fixture.DoAsync("POST", $"{box}/exec/run", """{"cmd":"ls -d /proc/[0-9]* | wc -l"}""");
        string[] open = [.. Directory.EnumerateFiles("/proc/self/fd").Select(TargetOf)];
        int sockets = open.Count(static file => file.Contains("socket:", StringComparison.Ordinal));
        return new Holdings(
            sandboxes.ToString(),
            CountMachines(Path.GetFileName(fixture.StatePath)),
            sockets,
            open.Length - sockets,
            Directory.EnumerateFiles(fixture.StatePath, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.ReparsePoint })
                .Count(file => !file.StartsWith(Path.Combine(fixture.StatePath, "api", "usage"), StringComparison.Ordinal)),
            int.Parse(processes.String("stdout"), System.Globalization.CultureInfo.InvariantCulture));
    }

    internal bool IsNoMoreThan(Holdings before)
    {
        Assert.Equal(before.Sandboxes, Sandboxes); // what is settled at once
        return Machines <= before.Machines && Sockets <= before.Sockets + Slack && Files <= before.Files + Slack && Kept <= before.Kept && GuestProcesses <= before.GuestProcesses;
    }

    private static string TargetOf(string link)
    {
        try
        {
            return File.ResolveLinkTarget(link, returnFinalTarget: false)?.FullName ?? "";
        }
        catch (IOException)
        {
            return ""; // closed meanwhile
        }
    }

    private static int CountMachines(string state) => Directory.EnumerateDirectories("/proc").Count(process =>
    {
        try
        {
            string command = File.ReadAllText(Path.Combine(process, "cmdline"));
            return command.Contains("qemu", StringComparison.Ordinal) && command.Contains(state, StringComparison.Ordinal);
        }
        catch (Exception ended) when (ended is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    });
}
