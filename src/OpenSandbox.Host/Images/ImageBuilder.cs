using System.Text;
using OpenSandbox.Host.Api;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Records;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Images;

/// <summary>Builds an image in a sandbox of its own, which does not outlive it.</summary>
internal sealed class ImageBuilder(SandboxHost host, ServerOptions options)
{
    private const int DefaultMemoryMib = 1_024;
    private const int MemoryStep = 128;
    private const int FileMode = 0x1A4; // 0644
    private const int BufferBytes = 32 << 10;
    private const string User = "sandbox";
    private const string BuilderLabel = "opensandbox.image-builder";
    private static readonly TimeSpan s_stepLimit = TimeSpan.FromMinutes(30);

    /// <summary>Whether a sandbox is one that an image is built in.</summary>
    internal static bool IsBuilder(Sandbox sandbox) => sandbox.Spec.Labels.ContainsKey(BuilderLabel);

    /// <summary>The image whose disks a checkpoint holds, if it does.</summary>
    internal static string? HashOf(SandboxCheckpoint checkpoint) => checkpoint.Labels.GetValueOrDefault(BuilderLabel);

    /// <summary>Memory of the sandbox that a plan is carried out in, MiB.</summary>
    /// <exception cref="ApiException">400: this server cannot give so much, or it is too little.</exception>
    internal int MemoryFor(ImagePlan plan)
    {
        int largest = options.Sandboxes.MaxMemoryMib;
        int memory = plan.BuilderMemoryMib ?? Math.Min(DefaultMemoryMib, largest);
        return memory >= SandboxResize.MinMemoryMib && memory <= largest
            ? memory
            : throw ApiException.Bad($"image.builderMemoryMB of {memory}: it must be from {SandboxResize.MinMemoryMib} to {largest}");
    }

    /// <summary>Does what the plan says, and keeps the disks that come of it.</summary>
    /// <exception cref="ApiException">A step failed.</exception>
    /// <exception cref="SandboxException">The sandbox failed.</exception>
    internal async Task<ImageEntry> BuildAsync(ImagePlan plan, BuildLog log, CancellationToken cancellationToken)
    {
        int largest = options.Sandboxes.MaxMemoryMib;
        int memory = MemoryFor(plan);
        log.Add(new BuildLine(0, "build", "starting a sandbox to build in"));
        Sandbox builder = await host.CreateAsync(
            new SandboxSpec
            {
                MemoryMib = (memory + MemoryStep - 1) / MemoryStep * MemoryStep,
                MaxGuestScaleMib = largest, // of the sandboxes that are made of it
                Labels = new Dictionary<string, string>(StringComparer.Ordinal) { [BuilderLabel] = plan.Hash },
            },
            cancellationToken).ConfigureAwait(false);
        try
        {
            var environment = new Dictionary<string, string>(StringComparer.Ordinal);
            string? directory = null;
            foreach (BuildAction action in plan.Actions)
            {
                if (action.Environment is { } variables)
                {
                    foreach ((string name, string value) in variables)
                    {
                        environment[name] = value;
                    }

                    log.Add(new BuildLine(action.Step, action.Type, string.Join(' ', variables.Keys)));
                    await WriteEnvironmentAsync(builder, variables, cancellationToken).ConfigureAwait(false);
                }
                else if (action.Directory is { } path)
                {
                    directory = path;
                    log.Add(new BuildLine(action.Step, action.Type, path));
                    await builder.Files.CreateDirectoryAsync(path, parents: true, user: User, group: User, cancellationToken: cancellationToken).ConfigureAwait(false);
                }
                else if (action.File is { } file)
                {
                    log.Add(new BuildLine(action.Step, action.Type, $"{file.Path}, {file.Content.Length} bytes"));
                    var write = new FileWriteOptions { CreateParents = true, Mode = FileMode, User = User, Group = User };
                    await builder.Files.WriteAsync(file.Path, file.Content, write, cancellationToken).ConfigureAwait(false);
                }
                else
                {
                    await RunAsync(builder, action, environment, directory, log, cancellationToken).ConfigureAwait(false);
                }
            }

            log.Add(new BuildLine(0, "build", "saving the disks"));
            SandboxCheckpoint saved = await builder
                .CheckpointAsync(
                    new CheckpointOptions { Name = $"image {plan.Hash[..12]}", Kind = CheckpointKind.DiskOnly, Retained = true }, cancellationToken)
                .ConfigureAwait(false);
            DateTimeOffset now = options.Sandboxes.TimeProvider.GetUtcNow();
            return new ImageEntry
            {
                Hash = plan.Hash,
                CheckpointId = saved.Id,
                Manifest = plan.Manifest,
                Environment = environment,
                WorkingDirectory = directory,
                CreatedAt = now,
                LastUsedAt = now,
            };
        }
        finally
        {
            await builder.DeleteAsync(CancellationToken.None).ConfigureAwait(false);
        }
    }

    // Commands have the variables from the server; the file is for whoever logs in, or reads it.
    private static async Task WriteEnvironmentAsync(Sandbox builder, Dictionary<string, string> variables, CancellationToken cancellationToken)
    {
        string lines = string.Concat(variables.Select(static variable => $"{variable.Key}={variable.Value}\n"));
        var exec = new ExecOptions { User = "root", StandardInput = Encoding.UTF8.GetBytes(lines), Timeout = TimeSpan.FromSeconds(30) };
        ExecResult result = await builder.ExecAsync(["sh", "-c", "cat >> /etc/environment"], exec, cancellationToken).ConfigureAwait(false);
        result.EnsureSuccess();
    }

    private static async Task RunAsync(
        Sandbox builder, BuildAction action, Dictionary<string, string> environment, string? directory, BuildLog log, CancellationToken cancellationToken)
    {
        string[] command = action.Command!;
        log.Add(new BuildLine(action.Step, action.Type, command is ["bash", "-c", string line] ? line : string.Join(' ', command)));
        var start = new StartOptions
        {
            EnvironmentVariables = environment,
            WorkingDirectory = directory ?? Routes.Home,
            Timeout = s_stepLimit,
            Input = ProcessInput.Null,
        };
        SandboxProcess process = await builder.StartAsync(command, start, cancellationToken).ConfigureAwait(false);
        await using (process.ConfigureAwait(false))
        {
            var output = new LineReader(text => log.Add(new BuildLine(action.Step, action.Type, text)));
            byte[] buffer = new byte[BufferBytes];
            while (await process.ReadAsync(buffer, cancellationToken).ConfigureAwait(false) is { IsEnd: false } piece)
            {
                output.Add(buffer.AsSpan(0, piece.Count));
            }

            output.End();
            SandboxProcessExit exit = await process.WaitAsync(cancellationToken).ConfigureAwait(false);
            if (exit.ExitCode != 0 || exit.TimedOut)
            {
                string why = exit.TimedOut ? $"it was not done after {s_stepLimit.TotalMinutes} minutes" : $"it ended with exit code {exit.ExitCode}";
                throw new ApiException(StatusCodes.Status422UnprocessableEntity, $"step {action.Step} ({action.Type}) failed: {why}") { Code = "build_failed" };
            }
        }
    }
}
