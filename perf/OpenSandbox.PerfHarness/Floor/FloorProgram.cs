using System.Globalization;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Qemu;

namespace OpenSandbox.PerfHarness.Floor;

/// <summary>The floor program (perf/floor), running; one for each kind of sandbox. One command at a time.</summary>
internal sealed class FloorProgram : IAsyncDisposable
{
    /// <summary>Uids of its sandboxes begin so far above the library's, which never has as many.</summary>
    private const int UidDistance = 32_768;

    private static readonly TimeSpan s_limit = TimeSpan.FromMinutes(10);

    private readonly HostProcess _process;
    private readonly NetworkStream _stream;
    private readonly StreamReader _answers;
    private readonly BoundedOutput _errors;
    private readonly DirectoryInfo _directory;
    private readonly SandboxHost _host;
    private readonly SandboxSpec _spec;
    private bool _revivals; // whether there are files for them

    private FloorProgram(
        HostProcess process, NetworkStream stream, BoundedOutput errors, DirectoryInfo directory, SandboxHost host, SandboxSpec spec)
    {
        _host = host;
        _spec = spec;
        _process = process;
        _stream = stream;
        _answers = new StreamReader(stream, Encoding.ASCII);
        _errors = errors;
        _directory = directory;
    }

    /// <summary>Writes its files and starts it.</summary>
    /// <param name="program">The executable, as perf/floor/build.sh makes it.</param>
    /// <param name="host">The host whose golden snapshot and images it uses.</param>
    /// <param name="spec">The kind of sandbox.</param>
    /// <param name="cancellationToken">Ends it.</param>
    internal static async Task<FloorProgram> StartAsync(string program, SandboxHost host, SandboxSpec spec, CancellationToken cancellationToken)
    {
        DirectoryInfo directory = Directory.CreateTempSubdirectory("opensandbox-floor-");
        var descriptors = new List<SafeHandle>();
        (Socket commands, SafeFileHandle commandsEnd) = SocketPairs.Create();
        (Socket errors, SafeFileHandle errorsEnd) = SocketPairs.Create();
        var owned = new List<SafeHandle> { commandsEnd, errorsEnd };
        try
        {
            await FloorFiles.WriteAsync(directory.FullName, host, spec, cancellationToken).ConfigureAwait(false);
            SafeFileHandle state = host.Golden.OpenDeviceState();
            owned.Add(state);
            descriptors.AddRange([commandsEnd, commandsEnd, errorsEnd, host.Golden.Ram.File, state]);
            if (spec.Image is not null)
            {
                VmShape shape = host.Golden.Shape;
                AddBase(spec.Image, shape.RootfsBytes);
                if (spec.Workspace)
                {
                    AddBase(SandboxImages.WorkspaceName, shape.WorkspaceBytes);
                }
            }

            string firstUid = (host.Options.FirstUid + UidDistance).ToString(CultureInfo.InvariantCulture);
            string disks = Path.Combine(host.Options.StateDirectory, "disks");
            HostProcess process = await host.Context.Processes
                .StartAsync(new HostProcessStart(program, [program, directory.FullName, disks, firstUid], descriptors))
                .ConfigureAwait(false);
            return new FloorProgram(process, new NetworkStream(commands, ownsSocket: true), new BoundedOutput(errors, 4_096), directory, host, spec);
        }
        catch
        {
            commands.Dispose();
            errors.Dispose();
            directory.Delete(recursive: true);
            throw;
        }
        finally
        {
            owned.ForEach(static handle => handle.Dispose());
        }

        void AddBase(string name, long bytes)
        {
            SafeFileHandle file = host.Images.OpenRootfs(name, bytes).File;
            owned.Add(file);
            descriptors.Add(file);
        }
    }

    /// <summary>Makes a machine, with a first command or without.</summary>
    internal async Task<FloorCreation> CreateAsync(int slot, bool exec)
    {
        long[] numbers = await AskAsync($"create {slot} {(exec ? 1 : 0)}").ConfigureAwait(false);
        return new FloorCreation(
            numbers[0] / 1e6, numbers[1] / 1e6, numbers[2] / 1e6, numbers[3] / 1e6, numbers[4] / 1e3, numbers[5] / 1e3, numbers[6] / 1e3, (int)numbers[7]);
    }

    /// <summary>Makes and ends machines, so many at a time.</summary>
    /// <returns>The whole time and each machine's, milliseconds.</returns>
    internal async Task<(double Wall, double[] Each)> CreateManyAsync(int concurrency, int total)
    {
        long[] numbers = await AskAsync($"parallel {concurrency} {total} 0").ConfigureAwait(false);
        return (numbers[0] / 1e6, [.. numbers.Skip(1).Select(static value => value / 1e6)]);
    }

    /// <summary>Round trips, microseconds.</summary>
    internal async Task<double[]> PingAsync(int slot, int count) =>
        [.. (await AskAsync($"ping {slot} {count}").ConfigureAwait(false)).Select(static value => value / 1e3)];

    /// <summary>Sends the request of a name again and again, with so many bytes of data.</summary>
    internal async Task<FloorRequestTime[]> RequestAsync(int slot, string name, int up, int count) =>
        [.. (await AskAsync($"request {slot} {name} {up} {count}").ConfigureAwait(false))
            .Chunk(3)
            .Select(static triple => new FloorRequestTime(triple[0] / 1e3, triple[1], triple[2]))];

    /// <summary>Round trips while a request is under way, microseconds.</summary>
    internal async Task<double[]> PingUnderLoadAsync(int slot, string name, int up) =>
        [.. (await AskAsync($"load {slot} {name} {up}").ConfigureAwait(false)).Skip(1).Select(static value => value / 1e3)];

    /// <summary>Gives a machine so much hot-plugged memory, while the request of a name waits for it in the guest.</summary>
    /// <returns>Milliseconds until the guest had it, or had let go of it.</returns>
    internal async Task<double> PlugAsync(int slot, string name, int memoryMib) =>
        (await AskAsync($"plug {slot} {name} {(long)memoryMib << 20}").ConfigureAwait(false))[0] / 1e6;

    /// <summary>Brings a machine up as far as a pool does: to the last byte of its devices' state, or, hot, to a guest that was stopped again.</summary>
    internal Task ParkAsync(int slot, bool hot) => AskAsync($"park {slot} {(hot ? 1 : 0)}");

    /// <summary>Lets a parked machine run, and resumes it.</summary>
    /// <returns>Milliseconds.</returns>
    internal async Task<double> ClaimAsync(int slot) => (await AskAsync($"claim {slot}").ConfigureAwait(false))[0] / 1e6;

    /// <summary>Takes a machine's state into the program's memory, in place of what it had taken before.</summary>
    /// <param name="slot">The machine.</param>
    /// <param name="goOn">Whether it runs on afterwards; else it never runs again.</param>
    internal async Task<FloorCut> CutAsync(int slot, bool goOn)
    {
        long[] numbers = await AskAsync($"cut {slot} {(goOn ? 1 : 0)}").ConfigureAwait(false);
        return new FloorCut(
            numbers[0] / 1e6, numbers[1] / 1e6, numbers[2] / 1e6, numbers[3] / 1e6, numbers[4] / 1e6, numbers[5] / 1e6, numbers[6] / 1e6, numbers[7], numbers[8]);
    }

    /// <summary>Starts machines side by side from the state that was taken, whose machine must not run any more.</summary>
    /// <param name="slot">Of the first of them.</param>
    /// <param name="count">How many.</param>
    /// <param name="prefix"><see cref="FloorFiles.ForkPrefix"/> or <see cref="FloorFiles.WakePrefix"/>.</param>
    /// <returns>The whole time, milliseconds.</returns>
    internal async Task<double> ReviveAsync(int slot, int count, string prefix)
    {
        if (!_revivals)
        {
            await FloorFiles.WriteRevivalsAsync(_directory.FullName, _host, _spec, CancellationToken.None).ConfigureAwait(false);
            _revivals = true;
        }

        return (await AskAsync($"revive {slot} {count} {prefix}").ConfigureAwait(false))[0] / 1e6;
    }

    /// <summary>Reads a whole file into memory.</summary>
    /// <returns>Milliseconds.</returns>
    internal async Task<double> ReadFileAsync(string path) => (await AskAsync($"read {path}").ConfigureAwait(false))[0] / 1e6;

    /// <summary>Makes the page cache drop a file.</summary>
    /// <exception cref="InvalidOperationException">It still holds some of it.</exception>
    internal async Task ForgetFileAsync(string path)
    {
        long left = (await AskAsync($"forget {path}").ConfigureAwait(false))[0];
        if (left > 0)
        {
            throw new InvalidOperationException($"the page cache still holds {left} pages of {path}");
        }
    }

    /// <summary>Process ids of launcher and QEMU.</summary>
    internal async Task<(int Launcher, int Qemu)> GetPidsAsync(int slot)
    {
        long[] numbers = await AskAsync($"pids {slot}").ConfigureAwait(false);
        return ((int)numbers[0], (int)numbers[1]);
    }

    /// <summary>Ends a machine and waits for its end.</summary>
    internal Task KillAsync(int slot) => AskAsync($"kill {slot}");

    /// <summary>The program's own CPU time, milliseconds.</summary>
    internal async Task<double> GetCpuAsync() => (await AskAsync("cpu").ConfigureAwait(false))[0] / 1e6;

    /// <summary>Ends it with all its machines.</summary>
    public async ValueTask DisposeAsync()
    {
        // End of file on its standard input ends it, and its machines are attached to it.
        _answers.Dispose();
        await _stream.DisposeAsync().ConfigureAwait(false);
        await _process.Exited.WaitAsync(s_limit).ConfigureAwait(false);
        await _errors.DisposeAsync().ConfigureAwait(false);
        _directory.Delete(recursive: true);
    }

    private async Task<long[]> AskAsync(string command)
    {
        await _stream.WriteAsync(Encoding.ASCII.GetBytes(command + "\n")).ConfigureAwait(false);
        string? answer = await _answers.ReadLineAsync().WaitAsync(s_limit).ConfigureAwait(false);
        if (answer is null || !answer.StartsWith("ok", StringComparison.Ordinal))
        {
            await _errors.Ended.WaitAsync(s_limit).ConfigureAwait(false);
            throw new IOException($"the floor program failed at '{command}': {_errors.Tail()}");
        }

        return [.. answer.Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(static text => long.Parse(text, CultureInfo.InvariantCulture))];
    }
}
