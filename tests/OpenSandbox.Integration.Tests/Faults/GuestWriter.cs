using System.Globalization;

namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>
/// A process in a sandbox that writes numbered files to both disks, and prints each number when file and name are synced. What it has printed
/// is acknowledged: it must be there whatever happens.
/// </summary>
internal sealed class GuestWriter
{
    // Half of the files are on each disk. The next number is found out, so that it goes on where it was after a boot.
    private const string Script = """
        import os, time
        places = [os.path.expanduser('~/files'), '/workspace/files']
        for place in places:
            os.makedirs(place, exist_ok=True)
        def sync(place):
            fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(fd)
            os.close(fd)
        for place in places:
            sync(place)
            sync(os.path.dirname(place))
        i = max([0] + [int(name) for place in places for name in os.listdir(place) if name[0] != '.'])
        print(i, flush=True)
        while True:
            i += 1
            place = places[i % 2]
            with open(place + '/.tmp', 'w') as f:
                f.write(f'{i}\n' * 100)
                f.flush()
                os.fsync(f.fileno())
            os.rename(place + '/.tmp', f'{place}/{i}')
            sync(place)
            print(i, flush=True)
            time.sleep(0.02)
        """;

    private const string Check = """
        import os
        places = [os.path.expanduser('~/files'), '/workspace/files']
        listed = [[(int(name), place) for name in os.listdir(place) if name[0] != '.'] for place in reversed(places)]
        # The writer goes on between the two listings: in the second one is more than what was there at the time of the first.
        end = max([0] + [i for i, _ in listed[0]]) + 1
        names = sorted(listed[0] + [(i, place) for i, place in listed[1] if i <= end])
        bad = [i for i, place in names if place != places[i % 2] or open(f'{place}/{i}').read() != f'{i}\n' * 100]
        print(len(names), [i for i, _ in names] == list(range(1, len(names) + 1)), bad, open('/proc/sys/kernel/random/boot_id').read().strip())
        """;

    private GuestWriter(string processId) => ProcessId = processId;

    internal string ProcessId { get; }

    /// <summary>Up to where its output is known.</summary>
    internal long Sequence { get; private set; }

    /// <summary>The last file that it has acknowledged, as far as is known.</summary>
    internal int Acknowledged { get; private set; }

    internal static async Task<GuestWriter> StartAsync(Sandbox sandbox)
    {
        await using SandboxProcess process = await sandbox.StartAsync(
            ["python3", "-c", Script], new StartOptions { Detached = true, Input = ProcessInput.Null }, ExecTests.Deadline(30));
        var log = new AckLog();
        byte[] buffer = new byte[4_096];
        while (log.Count < 3)
        {
            SandboxOutput output = await process.ReadAsync(buffer, ExecTests.Deadline(30));
            Assert.False(output.IsEnd, "the writer ended");
            log.Add(output.Sequence, System.Text.Encoding.ASCII.GetString(buffer, 0, output.Count));
        }

        return new GuestWriter(process.Id) { Acknowledged = log.Last };
    }

    /// <summary>The same process in a copy of its sandbox, or after it went back.</summary>
    internal GuestWriter At(int acknowledged) => new(ProcessId) { Acknowledged = acknowledged };

    /// <summary>Takes over what somebody has read of its output.</summary>
    internal void Learn(AckLog log)
    {
        Acknowledged = Math.Max(Acknowledged, log.Last);
    }

    /// <summary>Every acknowledged file is there and right, on the disks as the guest sees them.</summary>
    /// <returns>The last file, and the boot that the guest is in.</returns>
    internal async Task<(int Last, string Boot)> CheckAsync(Sandbox sandbox)
    {
        ExecResult result = await sandbox.ExecAsync(["python3", "-c", Check], cancellationToken: ExecTests.Deadline(60));
        string[] words = result.StandardOutput.Split(' ', 4);
        Assert.True(words is [_, "True", "[]", _], $"files are torn or missing: {result.StandardOutput} {result.StandardError}");
        int last = int.Parse(words[0], CultureInfo.InvariantCulture);
        Assert.True(last >= Acknowledged, $"file {Acknowledged} was acknowledged, and the last one is {last}");
        return (last, words[3].Trim());
    }

    /// <summary>It is still there, and goes on.</summary>
    internal async Task GoesOnAsync(Sandbox sandbox)
    {
        await using SandboxProcess process = await sandbox.Processes.AttachAsync(
            ProcessId, new AttachOptions { FromNow = true }, ExecTests.Deadline(30));
        var log = new AckLog();
        byte[] buffer = new byte[4_096];
        while (log.Count < 2)
        {
            SandboxOutput output = await process.ReadAsync(buffer, ExecTests.Deadline(30));
            Assert.False(output.IsEnd, "the writer ended");
            log.Add(output.Sequence, System.Text.Encoding.ASCII.GetString(buffer, 0, output.Count));
        }

        Learn(log);
        Sequence = log.Next;
    }
}
