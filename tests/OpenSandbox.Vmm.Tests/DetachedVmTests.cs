using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Interop;
using OpenSandbox.Vmm.Processes;
using OpenSandbox.Vmm.Qemu;
using ProcessThread = OpenSandbox.Vmm.Processes.ProcessThread;

namespace OpenSandbox.Vmm.Tests;

/// <summary>What finds a detached VM again: its directory, its record, its processes.</summary>
[Collection(State.LocksCollection.Name)]
public sealed class DetachedVmTests
{
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(20);
    private static readonly string s_nonce = VmDetachment.NewNonce();

    [Fact]
    public async Task Watch_ProcessOfSomebodyElse_IsSeenToEndWithoutAnExitCode()
    {
        using var thread = new ProcessThread();
        using Process other = StartSleep();
        HostProcess watched = await thread.WatchAsync(other.Id, Libc.PidfdOpen(other.Id));
        Assert.False(watched.Exited.IsCompleted);

        watched.Signal(Libc.SIGKILL);

        HostProcessExit exit = await watched.Exited.WaitAsync(s_limit);
        Assert.Equal(new HostProcessExit(null, null), exit);
        Assert.Equal("an exit code that is not known", exit.ToString());
        await other.WaitForExitAsync().WaitAsync(s_limit);
        watched.Signal(Libc.SIGKILL); // no error after the end
    }

    [Fact]
    public async Task Forget_WatchedProcess_ClosesItAndSignalsItNoMore()
    {
        using var thread = new ProcessThread();
        using Process other = StartSleep();
        try
        {
            HostProcess watched = await thread.WatchAsync(other.Id, Libc.PidfdOpen(other.Id));
            thread.Forget(watched);
            await AfterTurnAsync(thread);

            Assert.True(watched.Pidfd.IsClosed);
            watched.Signal(Libc.SIGKILL);
            Assert.False(other.HasExited);
        }
        finally
        {
            other.Kill();
        }
    }

    [Fact]
    public async Task Forget_Child_StillReapsIt()
    {
        using var thread = new ProcessThread();
        using SafeFileHandle nothing = File.OpenHandle("/dev/null");
        HostProcess child = await thread.StartAsync(new HostProcessStart("/bin/sh", ["sh", "-c", "exit 3"], [nothing])).WaitAsync(s_limit);

        thread.Forget(child);

        Assert.Equal(new HostProcessExit(3, null), await child.Exited.WaitAsync(s_limit));
    }

    [Fact]
    public async Task Watch_AfterDispose_FailsAndClosesThePidfd()
    {
        var thread = new ProcessThread();
        thread.Dispose();
        SafeFileHandle pidfd = Libc.PidfdOpen(Environment.ProcessId);

        await Assert.ThrowsAsync<ObjectDisposedException>(() => thread.WatchAsync(Environment.ProcessId, pidfd));

        Assert.True(pidfd.IsClosed);
    }

    [Fact]
    public void Facts_OfThisProcess_AreItsOwn()
    {
        ProcessFacts facts = ProcessFacts.Read(Environment.ProcessId)!.Value;
        using Process self = Process.GetCurrentProcess();

        Assert.False(facts.HasEnded);
        Assert.True(facts.StartTicks > 0);
        Assert.Equal(facts, ProcessFacts.Read(Environment.ProcessId));
        Assert.True(ProcessFacts.HasArgument(Environment.ProcessId, CommandLine()[0]));
        Assert.False(ProcessFacts.HasArgument(Environment.ProcessId, CommandLine()[0][..^1]));
        Assert.Null(ProcessFacts.Read(int.MaxValue));
        Assert.False(ProcessFacts.HasArgument(int.MaxValue, ""));

        static string[] CommandLine() => File.ReadAllText("/proc/self/cmdline").Split('\0', StringSplitOptions.RemoveEmptyEntries);
    }

    [Fact]
    public async Task Facts_NameWithParenthesesAndBlanks_DoesNotShiftTheFields()
    {
        using var directory = new TemporaryDirectory();
        string program = directory.File(") Z 1 (x y)");
        File.Copy("/usr/bin/sleep", program);
        using Process other = Process.Start(program, "1000");
        try
        {
            await UntilAsync(() => File.ReadAllText($"/proc/{other.Id}/comm").Contains('Z', StringComparison.Ordinal));
            ProcessFacts facts = ProcessFacts.Read(other.Id)!.Value;

            Assert.False(facts.HasEnded);
            Assert.Equal(Environment.ProcessId, facts.ParentPid);
        }
        finally
        {
            other.Kill();
        }
    }

    [SkippableFact]
    public async Task Facts_FirstThreadEndedAlone_HasNotEnded()
    {
        Skip.IfNot(File.Exists("/usr/bin/python3"), "python3 is not installed");
        const string script = "import ctypes, threading; threading.Thread(target=threading.Event().wait).start(); ctypes.CDLL(None).pthread_exit(None)";
        using Process other = Process.Start("/usr/bin/python3", ["-c", script]);
        try
        {
            await UntilAsync(() => File.ReadAllText($"/proc/{other.Id}/stat").Contains(") Z ", StringComparison.Ordinal));

            Assert.False(ProcessFacts.Read(other.Id)!.Value.HasEnded);
        }
        finally
        {
            other.Kill();
        }
    }

    [Fact]
    public void Verify_Decoys_AreToldApartAndLeftAlone()
    {
        using Process other = StartSleep();
        try
        {
            ProcessFacts facts = ProcessFacts.Read(other.Id)!.Value;

            (SafeFileHandle? pidfd, string? stranger) = VmProcesses.Verify(other.Id, facts.StartTicks + 1, static _ => true);
            Assert.Null(pidfd);
            Assert.Contains("was started at", stranger, StringComparison.Ordinal);
            (pidfd, stranger) = VmProcesses.Verify(other.Id, facts.StartTicks, static _ => false);
            Assert.Null(pidfd);
            Assert.Contains("nonce", stranger, StringComparison.Ordinal);
            (pidfd, stranger) = VmProcesses.Verify(other.Id, facts.StartTicks, _ => ProcessFacts.HasArgument(other.Id, "1000.25"));
            Assert.NotNull(pidfd);
            Assert.Null(stranger);
            pidfd.Dispose();
            Assert.False(other.HasExited);
        }
        finally
        {
            other.Kill();
        }
    }

    [Fact]
    public void Verify_NoSuchProcess_IsNeither()
    {
        using Process other = StartSleep();
        ProcessFacts facts = ProcessFacts.Read(other.Id)!.Value;
        other.Kill();
        Assert.True(other.WaitForExit(s_limit));

        Assert.Equal((null, null), VmProcesses.Verify(other.Id, facts.StartTicks, static _ => true));
    }

    [Fact]
    public void Verify_ThreadOfAnotherProcess_IsAStranger()
    {
        int thread = Directory.EnumerateDirectories("/proc/self/task").Select(static path => int.Parse(Path.GetFileName(path), CultureInfo.InvariantCulture))
            .First(static id => id != Environment.ProcessId);

        (SafeFileHandle? pidfd, string? stranger) = VmProcesses.Verify(thread, 1, static _ => true);

        Assert.Null(pidfd);
        Assert.NotNull(stranger);
    }

    [Fact]
    public async Task Listen_BeforeAnybodyAccepts_ConnectSucceedsAndBytesWait()
    {
        using var temporary = new TemporaryDirectory();
        using VmRuntimeDirectory directory = VmRuntimeDirectory.Create(temporary.File("vm/one"));
        (Socket ours, SafeFileHandle theirs) = directory.Listen(VmRuntimeDirectory.QmpSocket);
        using (ours)
        {
            await ours.SendAsync("first"u8.ToArray()).WaitAsync(s_limit);
            string path = Path.Combine(directory.Location, VmRuntimeDirectory.QmpSocket);
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
            Assert.Equal(
                UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, File.GetUnixFileMode(directory.Location));

            using var listener = new Socket(new SafeSocketHandle(theirs.DangerousGetHandle(), ownsHandle: false));
            using Socket accepted = await listener.AcceptAsync().WaitAsync(s_limit);
            byte[] buffer = new byte[16];
            Assert.Equal(5, await accepted.ReceiveAsync(buffer).WaitAsync(s_limit));
        }

        theirs.Dispose();
        Assert.True(File.Exists(Path.Combine(directory.Location, VmRuntimeDirectory.QmpSocket)), "closing the listener must leave the name");
        Assert.Throws<SocketException>(() => directory.Connect(VmRuntimeDirectory.QmpSocket));
    }

    [Fact]
    public void Connect_ListenerThatNeverAccepts_IsRefusedAndNeverBlocks()
    {
        using var temporary = new TemporaryDirectory();
        using VmRuntimeDirectory directory = VmRuntimeDirectory.Create(temporary.File("one"));
        (Socket ours, SafeFileHandle theirs) = directory.Listen(VmRuntimeDirectory.QmpSocket);
        using SafeFileHandle listener = theirs;
        List<Socket> waiting = [ours];
        try
        {
            Assert.Throws<SocketException>(() =>
            {
                for (int i = 0; i < 100; i++)
                {
                    waiting.Add(directory.Connect(VmRuntimeDirectory.QmpSocket));
                }
            });
        }
        finally
        {
            waiting.ForEach(static socket => socket.Dispose());
        }
    }

    [Fact]
    public void RuntimeDirectory_InUse_IsLockedForOthers()
    {
        using var temporary = new TemporaryDirectory();
        string path = temporary.File("one");
        using (VmRuntimeDirectory directory = VmRuntimeDirectory.Create(path))
        {
            Assert.Null(VmRuntimeDirectory.TryOpen(path, out bool inUse));
            Assert.True(inUse);
            Assert.ThrowsAny<IOException>(() => VmRuntimeDirectory.Create(path));
        }

        using VmRuntimeDirectory? again = VmRuntimeDirectory.TryOpen(path, out _);
        Assert.NotNull(again);
        again.Remove();
        Assert.Null(VmRuntimeDirectory.TryOpen(path, out bool gone));
        Assert.False(gone);
    }

    [Fact]
    public void RuntimeDirectory_SymbolicLink_IsNotFollowed()
    {
        using var temporary = new TemporaryDirectory();
        Directory.CreateDirectory(temporary.File("real"));
        File.CreateSymbolicLink(temporary.File("link"), temporary.File("real"));

        Assert.ThrowsAny<IOException>(() => VmRuntimeDirectory.TryOpen(temporary.File("link"), out _));
    }

    [Fact]
    public void Record_WrittenAndRead_IsTheSame()
    {
        using var temporary = new TemporaryDirectory();
        using VmRuntimeDirectory directory = VmRuntimeDirectory.Create(temporary.File("one"));
        VmRecord record = Record(directory.Location);
        Assert.Null(directory.ReadRecord());

        directory.WriteRecord(record);

        Assert.Equal(record, directory.ReadRecord());
        Assert.Equal([Path.Combine(directory.Location, "record.json")], Directory.EnumerateFiles(directory.Location));
    }

    [Theory]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{")]
    [InlineData("""{"launcherPid":"x"}""")]
    public void Record_Damaged_IsSaidSo(string text)
    {
        using var temporary = new TemporaryDirectory();
        using VmRuntimeDirectory directory = VmRuntimeDirectory.Create(temporary.File("one"));
        File.WriteAllText(Path.Combine(directory.Location, "record.json"), text);

        Assert.Throws<InvalidDataException>(() => directory.ReadRecord());
    }

    [Fact]
    public void Record_WithSenselessFields_HasAFault()
    {
        using var temporary = new TemporaryDirectory();
        using VmRuntimeDirectory directory = VmRuntimeDirectory.Create(temporary.File("one"));
        VmRecord record = Record("/run/x");
        Assert.Null(record.FindFault());

        Assert.NotNull((record with { LauncherPid = 0 }).FindFault());
        Assert.NotNull((record with { QemuPid = -1 }).FindFault());
        Assert.NotNull((record with { QemuPid = 1 }).FindFault());
        Assert.NotNull((record with { QemuPid = record.LauncherPid }).FindFault());
        Assert.NotNull((record with { Nonce = "" }).FindFault());
        Assert.NotNull((record with { Nonce = new string('g', 32) }).FindFault());
        Assert.NotNull((record with { RuntimeDirectory = "relative" }).FindFault());
        File.WriteAllText(Path.Combine(directory.Location, "record.json"), """{"launcherPid":5,"qemuPid":6}""");
        Assert.NotNull(directory.ReadRecord()!.FindFault());
    }

    [Fact]
    public void Detachment_PathTooLongForSockets_IsRefusedWithWhatToDo()
    {
        string longest = "/" + new string('x', 107 - "//control".Length);
        new VmDetachment(longest, s_nonce).Validate();
        Assert.Equal(107, Encoding.UTF8.GetByteCount(Path.Combine(longest, "control")));

        HostPrerequisiteException failure = Assert.Throws<HostPrerequisiteException>(() => new VmDetachment(longest + "x", s_nonce).Validate());

        Assert.Contains("108 bytes", failure.Message, StringComparison.Ordinal);
        Assert.Contains("RuntimeDirectory", failure.Remedy, StringComparison.Ordinal);
        Assert.Throws<ArgumentException>(() => new VmDetachment("relative", s_nonce).Validate());
        Assert.Throws<ArgumentException>(() => new VmDetachment("/x", "no nonce").Validate());
    }

    [Fact]
    public void Listen_LongestPath_Works()
    {
        using var temporary = new TemporaryDirectory();
        string directory = temporary.Path + "/" + new string('x', 107 - "/control".Length - 1 - temporary.Path.Length);
        using VmRuntimeDirectory made = VmRuntimeDirectory.Create(directory);

        (Socket ours, SafeFileHandle theirs) = made.Listen(VmRuntimeDirectory.ControlSocket);

        ours.Dispose();
        theirs.Dispose();
        Assert.True(File.Exists(Path.Combine(directory, "control")));
    }

    private static VmRecord Record(string directory) => new(4711, 123_456_789_012, 4712, 123_456_789_013, BootId.Current, s_nonce, 200_001, directory);

    private static Process StartSleep() => Process.Start("/usr/bin/sleep", "1000.25");

    /// <summary>The thread has done what it had been asked before.</summary>
    private static async Task AfterTurnAsync(ProcessThread thread)
    {
        for (int i = 0; i < 2; i++)
        {
            HostProcess self = await thread.WatchAsync(Environment.ProcessId, Libc.PidfdOpen(Environment.ProcessId)).WaitAsync(s_limit);
            thread.Forget(self);
        }
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        long started = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            Assert.True(TimeProvider.System.GetElapsedTime(started) < s_limit, "it did not come");
            await Task.Yield();
        }
    }
}
