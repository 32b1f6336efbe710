using System.Net.WebSockets;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Commands and terminals that clients attach to by WebSocket. The guest keeps them and their output, so that they outlive clients and servers.</summary>
internal sealed class SessionEndpoints(SandboxService sandboxes, ServerOptions options, ILogger<SessionEndpoints> logger)
{
    private const string DefaultShell = "/bin/bash";
    private const string TerminalType = "xterm-256color";
    private const int DefaultColumns = 80;
    private const int DefaultRows = 24;
    private const int Kill = 9;
    private const int MaxSignal = 64;
    private const int MaxRunAfterDisconnectSeconds = 30 * 86_400; // timers go to 49 days
    private const int MaxListedCharacters = 16 << 20;

    private readonly Attachments _attached = new(options.Sandboxes.TimeProvider, logger);

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/sandboxes/{id}/exec", StartAsync);
        routes.MapGet("/api/sandboxes/{id}/exec", ListAsync);
        routes.MapGet("/api/sandboxes/{id}/exec/{sessionId}", context => AttachAsync(context, terminal: false));
        routes.MapPost("/api/sandboxes/{id}/exec/{sessionId}/kill", KillAsync);
        routes.MapPost("/api/sandboxes/{id}/pty", OpenTerminalAsync);
        routes.MapGet("/api/sandboxes/{id}/pty/{sessionId}", context => AttachAsync(context, terminal: true));
        routes.MapPost("/api/sandboxes/{id}/pty/{sessionId}/resize", ResizeAsync);
        routes.MapDelete("/api/sandboxes/{id}/pty/{sessionId}", CloseTerminalAsync);
    }

    private async Task StartAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        ExecRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.ExecRequest).ConfigureAwait(false);
        string command = request.Cmd is { Length: > 0 } text ? text : throw ApiException.Bad("cmd is required");
        if (request.MaxRunAfterDisconnect is < 0 or > MaxRunAfterDisconnectSeconds)
        {
            throw ApiException.Bad($"maxRunAfterDisconnect: seconds, 0 for no limit, at most {MaxRunAfterDisconnectSeconds}");
        }

        var start = new StartOptions
        {
            Detached = true,
            EnvironmentVariables = request.Envs ?? [],
            WorkingDirectory = request.Cwd is { Length: > 0 } directory ? directory : sandboxes.EntryOf(sandbox).WorkingDirectory ?? Routes.Home,
            Timeout = ExecEndpoints.TimeoutOf(request, whenAbsent: 0),
        };
        SandboxProcess process = await sandbox.StartAsync(ExecEndpoints.CommandOf(command, request.Args, split: false), start, context.RequestAborted).ConfigureAwait(false);
        await using (process.ConfigureAwait(false))
        {
            if (request.MaxRunAfterDisconnect is int limit and > 0)
            {
                _attached.Limit(sandbox, process.Id, TimeSpan.FromSeconds(limit));
            }

            var reply = new SessionReply
            {
                SessionID = process.Id,
                SandboxID = sandbox.Id,
                Command = command,
                Args = request.Args ?? [],
                Running = true,
                StartedAt = options.Sandboxes.TimeProvider.GetUtcNow(),
                AttachedClients = 0,
            };
            await JsonBody.WriteAsync(context, reply, HostJsonContext.Default.SessionReply, StatusCodes.Status201Created).ConfigureAwait(false);
        }
    }

    private async Task ListAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        IReadOnlyList<SandboxProcessInfo> processes = await sandbox.Processes.ListAsync(context.RequestAborted).ConfigureAwait(false);
        SessionReply[] sessions = [.. Bounded(processes.Where(static process => process is { IsManaged: true, HasTerminal: false }))
            .Select(process => new SessionReply
            {
                SessionID = process.Id!,
                SandboxID = sandbox.Id,
                Command = process.Command.Count > 0 ? process.Command[0] : "",
                Args = [.. process.Command.Skip(1)],
                Running = process.IsRunning,
                ExitCode = process.Exit?.ExitCode,
                StartedAt = process.StartedAt,
                AttachedClients = _attached.ClientsOf(sandbox, process.Id!),
            })];
        await JsonBody.WriteAsync(context, sessions, HostJsonContext.Default.SessionReplyArray).ConfigureAwait(false);
    }

    /// <summary>As many processes as a guest may name, by the length of their commands.</summary>
    /// <exception cref="ApiException">413: there are more.</exception>
    internal static IEnumerable<SandboxProcessInfo> Bounded(IEnumerable<SandboxProcessInfo> processes)
    {
        long characters = 0;
        foreach (SandboxProcessInfo process in processes)
        {
            characters += process.Command.Sum(static word => word.Length + 3L);
            if (characters > MaxListedCharacters)
            {
                throw new ApiException(
                    StatusCodes.Status413PayloadTooLarge, $"the commands of all sessions have more than {MaxListedCharacters} characters");
            }

            yield return process;
        }
    }

    private async Task AttachAsync(HttpContext context, bool terminal)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        string id = context.Text("sessionId");
        if (!context.WebSockets.IsWebSocketRequest)
        {
            throw new ApiException(StatusCodes.Status426UpgradeRequired, "this is a WebSocket's address");
        }

        SandboxProcess process;
        try
        {
            process = await sandbox.Processes.AttachAsync(id, new AttachOptions { Input = true }, context.RequestAborted).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is ArgumentException
            || failure is SandboxOperationException { Code: SandboxErrorCode.NotFound or SandboxErrorCode.InvalidRequest })
        {
            throw new ApiException(StatusCodes.Status404NotFound, $"session not found: {id}", failure);
        }

        await using (process.ConfigureAwait(false))
        {
            if (process.HasTerminal != terminal)
            {
                throw ApiException.NotFound($"session not found: {id}");
            }

            _attached.Enter(sandbox, id);
            try
            {
                using WebSocket socket = await context.WebSockets.AcceptWebSocketAsync().ConfigureAwait(false);
                await ServeAsync(socket, sandbox, process, terminal, context.RequestAborted).ConfigureAwait(false);
            }
            finally
            {
                _attached.Leave(sandbox, id);
            }
        }
    }

    private async Task ServeAsync(WebSocket socket, Sandbox sandbox, SandboxProcess process, bool terminal, CancellationToken cancellationToken)
    {
        try
        {
            await SessionSockets.ServeAsync(socket, process, framed: !terminal, cancellationToken).ConfigureAwait(false);
        }
        catch (SandboxException failure)
        {
            HostLog.BackgroundFailed(logger, sandbox.Id, "serving a session", failure);
        }
        catch (Exception gone) when (gone is WebSocketException or OperationCanceledException or IOException)
        {
            await SessionSockets.CloseAsync(socket, WebSocketCloseStatus.NormalClosure, "closed").ConfigureAwait(false);
        }
    }

    private async Task KillAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        KillRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.KillRequest).ConfigureAwait(false);
        int signal = request.Signal ?? Kill;
        if (signal is < 1 or > MaxSignal)
        {
            throw ApiException.Bad($"signal {signal}: a number from 1 to {MaxSignal}");
        }

        string id = context.Text("sessionId");
        await (signal == Kill
            ? sandbox.Processes.KillAsync(id, context.RequestAborted)
            : sandbox.Processes.SignalAsync(id, signal, context.RequestAborted)).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task OpenTerminalAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        PtyRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.PtyRequest).ConfigureAwait(false);
        var start = new StartOptions
        {
            Detached = true,
            WorkingDirectory = sandboxes.EntryOf(sandbox).WorkingDirectory ?? Routes.Home,
            Terminal = new TerminalOptions { Columns = request.Cols ?? DefaultColumns, Rows = request.Rows ?? DefaultRows, Type = TerminalType },
        };
        string shell = request.Shell is { Length: > 0 } given ? given : DefaultShell;
        SandboxProcess process = await sandbox.StartAsync([shell], start, context.RequestAborted).ConfigureAwait(false);
        await using (process.ConfigureAwait(false))
        {
            var reply = new SessionReply { SessionID = process.Id, SandboxID = sandbox.Id };
            await JsonBody.WriteAsync(context, reply, HostJsonContext.Default.SessionReply, StatusCodes.Status201Created).ConfigureAwait(false);
        }
    }

    private async Task ResizeAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        PtyRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.PtyRequest).ConfigureAwait(false);
        if (request is not { Cols: int columns, Rows: int rows })
        {
            throw ApiException.Bad("cols and rows are required");
        }

        await sandbox.Processes.ResizeTerminalAsync(context.Text("sessionId"), columns, rows, context.RequestAborted).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status200OK;
    }

    private async Task CloseTerminalAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        await sandbox.Processes.KillAsync(context.Text("sessionId"), context.RequestAborted).ConfigureAwait(false);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}
