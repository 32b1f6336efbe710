using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using OpenSandbox.Vmm;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.DetachedHost;

/// <summary>
/// A host process for tests to kill. <c>keep COUNT IMAGE</c> starts detached VMs, prints a line <c>vm ID RECORD</c> for each and
/// <c>ready</c>, and waits. <c>vanish COUNT IMAGE</c> starts them and kills itself the moment that the last has been spawned; ahead of each
/// spawn it prints <c>vm ID NONCE</c>. <c>life LEVEL</c>: see <see cref="LifeOfASandbox"/>. IMAGE is an image's name, or <c>-</c> for none.
/// </summary>
internal static partial class Program
{
    private const int SIGKILL = 9;

    private static async Task<int> Main(string[] arguments)
    {
        if (arguments[0] == "life")
        {
            return await LifeOfASandbox.RunAsync(arguments[1]);
        }

        int count = int.Parse(arguments[1], CultureInfo.InvariantCulture);
        var spec = new SandboxSpec { Image = arguments[2] == "-" ? null : arguments[2] };
        await using SandboxHost host = await SandboxHost.StartAsync();
        string[] ids = [.. Enumerable.Range(0, count).Select(static i => string.Create(CultureInfo.InvariantCulture, $"dh-{Environment.ProcessId:x}-{i}"))];
        using var deadline = new CancellationTokenSource(TimeSpan.FromMinutes(3));
        if (arguments[0] == "vanish")
        {
            var guests = new List<DetachedGuest>();
            foreach (string id in ids)
            {
                var detachment = new VmDetachment(DetachedGuest.DirectoryOf(host, id), VmDetachment.NewNonce());
                Console.WriteLine($"vm {id} {detachment.Nonce}");
                guests.Add(await DetachedGuest.LaunchAsync(host, spec, id, detachment));
            }

            return KillProcess(Environment.ProcessId, SIGKILL);
        }

        await Parallel.ForEachAsync(ids, new ParallelOptions { MaxDegreeOfParallelism = 2, CancellationToken = deadline.Token }, async (id, cancellation) =>
        {
            DetachedGuest guest = await DetachedGuest.StartAsync(host, spec, id, cancellation);
            VmRecord record = await guest.Vm.GetRecordAsync(cancellation);
            byte[] json = JsonSerializer.SerializeToUtf8Bytes(record, VmmJsonContext.Default.VmRecord);
            Console.WriteLine($"vm {id} {Convert.ToBase64String(json)}");
        });
        Console.WriteLine("ready");
        await Task.Delay(Timeout.InfiniteTimeSpan, CancellationToken.None);
        return 0;
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int KillProcess(int pid, int signal);
}
