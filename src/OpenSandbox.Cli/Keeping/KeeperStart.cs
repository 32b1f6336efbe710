using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Cli.Commands;
using OpenSandbox.Cli.Control;
using OpenSandbox.Interop;

namespace OpenSandbox.Cli.Keeping;

/// <summary>Starts a keeper in the background, and waits until its sandbox can be used.</summary>
internal static class KeeperStart
{
    private const int SigTerm = 15;
    private const int GetDescriptorFlags = 1;
    private const int SetDescriptorFlags = 2;
    private const int CloseOnExec = 1;

    /// <summary>Without a sign of life from the keeper; starting a VM takes up to 30 s of it on a busy machine.</summary>
    private static readonly TimeSpan s_silence = TimeSpan.FromMinutes(2);

    /// <summary>After the keeper has said that it does something long, such as building an image.</summary>
    private static readonly TimeSpan s_longWork = TimeSpan.FromMinutes(30);

    /// <summary>In which a keeper that was told to end must be gone.</summary>
    private static readonly TimeSpan s_grace = TimeSpan.FromSeconds(30);

    /// <summary>Starts a keeper.</summary>
    /// <param name="request">What it is to make, or to take over.</param>
    /// <param name="context">Where its messages go.</param>
    /// <returns>Its last message: the sandbox's id, and how it came back.</returns>
    /// <exception cref="KeptSandboxException">It said why there is no sandbox.</exception>
    /// <exception cref="CliException">It ended, or fell silent.</exception>
    internal static async Task<KeeperMessage> StartAsync(KeeperRequest request, CommandContext context)
    {
        CloseInheritedOnExec();
        using Process process = Process.Start(Describe())!;
        Task<string> said = process.StandardError.ReadToEndAsync();
        try
        {
            // The pipe takes it at once, as it is small, or breaks, in which case the other one says why.
            await WriteAsync(process, request).ConfigureAwait(false);
            return await WaitAsync(process, request, said, context).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is not KeptSandboxException)
        {
            await EndAsync(process, request.Open is null ? Keeper.UnwantedSignal : SigTerm).ConfigureAwait(false);
            throw;
        }
    }

    private static async Task<KeeperMessage> WaitAsync(Process process, KeeperRequest request, Task<string> said, CommandContext context)
    {
        using var reader = new StreamReader(process.StandardOutput.BaseStream, Encoding.UTF8);
        TimeSpan patience = s_silence;
        while (true)
        {
            string? line;
            try
            {
                line = await reader.ReadLineAsync(context.Signals.Token).AsTask().WaitAsync(patience).ConfigureAwait(false);
            }
            catch (TimeoutException late)
            {
                throw new CliException($"the keeper of the sandbox has said nothing for {patience.TotalMinutes:0} minutes and was ended", late)
                {
                    Detail = TailOf(process, request),
                };
            }

            if (line is null)
            {
                await process.WaitForExitAsync(context.Signals.Token).WaitAsync(s_grace).ConfigureAwait(false);
                throw new CliException($"the keeper of the sandbox ended with code {process.ExitCode} before the sandbox was ready")
                {
                    Detail = $"{await said.WaitAsync(s_grace).ConfigureAwait(false)}{TailOf(process, request)}",
                };
            }

            KeeperMessage message = ControlConnection.Parse(Encoding.UTF8.GetBytes(line), KeeperJsonContext.Default.KeeperMessage);
            if (message.Failure is ControlFailure failure)
            {
                throw new KeptSandboxException(failure);
            }

            if (message.Ready is string id)
            {
                return KeeperDirectory.IsId(id) ? message : throw new ControlProtocolException("the keeper of the sandbox sent an id that is none");
            }

            context.Errors.Relay(message.Text ?? "");
            patience = s_longWork;
        }
    }

    private static async Task WriteAsync(Process process, KeeperRequest request)
    {
        try
        {
            Stream input = process.StandardInput.BaseStream;
            await input.WriteAsync(JsonSerializer.SerializeToUtf8Bytes(request, KeeperJsonContext.Default.KeeperRequest)).ConfigureAwait(false);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended before it read: what it says, or its exit code, is the reason.
            return;
        }
    }

    /// <summary>The end of what a keeper has logged that has no sandbox yet; the log goes with it.</summary>
    private static string TailOf(Process process, KeeperRequest request)
    {
        string log = new KeeperDirectory(request.StateDirectory).LogOfStarting(process.Id);
        if (!File.Exists(log))
        {
            return "";
        }

        string tail = KeeperLog.ReadTail(log);
        File.Delete(log);
        return tail;
    }

    /// <summary>Ends a keeper that is no longer wanted; a sandbox that it was to make goes with it.</summary>
    private static async Task EndAsync(Process process, int signal)
    {
        if (!process.HasExited)
        {
            _ = Libc.KillProcess(process.Id, signal);
        }

        try
        {
            await process.WaitForExitAsync().WaitAsync(s_grace).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            process.Kill();
        }
    }

    private static ProcessStartInfo Describe()
    {
        // Started as `dotnet opensandbox.dll`, or by its own name.
        string program = Environment.ProcessPath ?? throw new CliException("this program cannot find out its own path, to start its keeper");
        string library = Path.Combine(AppContext.BaseDirectory, "opensandbox.dll");
        string[] arguments = Path.GetFileNameWithoutExtension(program) == "dotnet" ? ["exec", library, KeeperCommand.Verb] : [KeeperCommand.Verb];
        return new ProcessStartInfo(program, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
    }

    /// <summary>What this program was started with must not stay open in a process that outlives it: a pipe's reader waits for its end.</summary>
    private static void CloseInheritedOnExec()
    {
        foreach (string entry in Directory.EnumerateFileSystemEntries("/proc/self/fd"))
        {
            if (int.TryParse(Path.GetFileName(entry), out int descriptor) && descriptor > Running.StandardStreams.Error)
            {
                using var handle = new SafeFileHandle(descriptor, ownsHandle: false);
                int flags = Libc.Fcntl(handle, GetDescriptorFlags, 0);
                if (flags >= 0)
                {
                    _ = Libc.Fcntl(handle, SetDescriptorFlags, flags | CloseOnExec);
                }
            }
        }
    }
}
