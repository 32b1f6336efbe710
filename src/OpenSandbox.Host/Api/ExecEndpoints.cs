using System.Security.Cryptography;
using System.Text.Json;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;
using OpenSandbox.Host.Sandboxes;
using OpenSandbox.Vmm;

namespace OpenSandbox.Host.Api;

/// <summary>Commands that are run to their end: <c>exec/run</c>, <c>exec/run-async</c> and its results.</summary>
internal sealed class ExecEndpoints(SandboxService sandboxes, ServerOptions options, ILogger<ExecEndpoints> logger)
{
    private const double DefaultTimeoutSeconds = 60;
    private const double MaxTimeoutSeconds = 7 * 86_400;
    private const int MaxOutputBytes = 1 << 20;
    private const int MaxRunOutputBytes = 64 << 20;
    private const string TimedOutLine = "Process timed out";

    /// <summary>Characters that need a shell; without one a command line is split at white space.</summary>
    private static readonly System.Buffers.SearchValues<char> s_shellCharacters =
        System.Buffers.SearchValues.Create("|&;<>()$`\\\"'*?[]#~=%!{}\n\r");

    private static readonly TimeSpan s_inlineHold = TimeSpan.FromMilliseconds(400);
    private static readonly TimeSpan s_longPoll = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan s_silenceLimit = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_keepAlive = TimeSpan.FromSeconds(15);

    private readonly ExecResults _results = new(options.Sandboxes.TimeProvider);
    private readonly OutputBudget _budget = new(OutputBudget.Default);

    internal void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/api/sandboxes/{id}/exec/run", RunAsync);
        routes.MapPost("/api/sandboxes/{id}/exec/run-async", RunInBackgroundAsync);
        routes.MapGet("/api/sandboxes/{id}/exec/{execId}/result", ResultAsync);
    }

    private async Task RunAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        ExecRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.ExecRequest).ConfigureAwait(false);
        TimeSpan? timeout = TimeoutOf(request);
        using OutputBudget.Share share = _budget.Open();
        Task<ExecResult> running = StartAsync(
            sandbox, sandboxes.EntryOf(sandbox).WorkingDirectory, request, split: true, timeout, MaxRunOutputBytes, share, context.RequestAborted);
        if (timeout is { } limit && limit <= s_silenceLimit)
        {
            await WriteAsync(context, await running.ConfigureAwait(false)).ConfigureAwait(false);
            return;
        }

        await AnswerSlowlyAsync(context, running).ConfigureAwait(false);
    }

    /// <summary>
    /// The status leaves at once, and a space now and then, which a JSON parser skips: proxies cut answers that are silent for long. An error
    /// comes as a body of its own shape, under 200.
    /// </summary>
    private async Task AnswerSlowlyAsync(HttpContext context, Task<ExecResult> running)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        using var timer = new PeriodicTimer(s_keepAlive);
        while (true)
        {
            Task<bool> tick = timer.WaitForNextTickAsync(context.RequestAborted).AsTask();
            if (await Task.WhenAny(running, tick).ConfigureAwait(false) == running)
            {
                break;
            }

            await tick.ConfigureAwait(false);
            await context.Response.WriteAsync(" ", context.RequestAborted).ConfigureAwait(false);
            await context.Response.Body.FlushAsync(context.RequestAborted).ConfigureAwait(false);
        }

        ExecResult result;
        try
        {
            result = await running.ConfigureAwait(false);
        }
        catch (SandboxException failure) when (context.Response.HasStarted)
        {
            ApiException answer = ErrorMapping.From(failure, logger, context.TraceIdentifier);
            byte[] body = JsonSerializer.SerializeToUtf8Bytes(ErrorMiddleware.BodyOf(answer), HostJsonContext.Default.ErrorBody);
            await context.Response.Body.WriteAsync(body, context.RequestAborted).ConfigureAwait(false);
            return;
        }

        await WriteAsync(context, result).ConfigureAwait(false);
    }

    private static async Task WriteAsync(HttpContext context, ExecResult result)
    {
        HttpResponse response = context.Response;
        if (ExecReplyWriter.IsFor(result))
        {
            response.ContentType = "application/json; charset=utf-8";
            await ExecReplyWriter.WriteAsync(
                response.BodyWriter,
                result.Exit.TimedOut ? -1 : result.ExitCode,
                result.StandardOutputBytes,
                result.StandardErrorBytes,
                EndOfErrors(result),
                result.Truncated,
                context.RequestAborted).ConfigureAwait(false);
            return;
        }

        if (response.HasStarted)
        {
            byte[] body = JsonSerializer.SerializeToUtf8Bytes(Describe(result), HostJsonContext.Default.ExecReply);
            await response.Body.WriteAsync(body, context.RequestAborted).ConfigureAwait(false);
            return;
        }

        await JsonBody.WriteAsync(context, Describe(result), HostJsonContext.Default.ExecReply).ConfigureAwait(false);
    }

    private async Task RunInBackgroundAsync(HttpContext context)
    {
        Sandbox sandbox = context.Sandbox(sandboxes);
        ExecRequest request = await JsonBody.ReadAsync(context, HostJsonContext.Default.ExecRequest).ConfigureAwait(false);
        if (!_results.TryReserve())
        {
            throw new ApiException(StatusCodes.Status429TooManyRequests, $"{ExecResults.MaxRunning} commands are under way already")
            {
                Retryable = true,
                RetryAfter = 1,
            };
        }

        // The client may go: the command does not, and is counted and can be found from here on.
        bool wasAwake = sandbox.State == SandboxState.Running;
        ExecHandle handle;
        try
        {
            handle = new ExecHandle(
                RandomNumberGenerator.GetHexString(8, lowercase: true),
                options.Sandboxes.TimeProvider.GetUtcNow(),
                StartInBackground(sandbox, request));
        }
        catch
        {
            _results.Release();
            throw;
        }

        _results.Add(sandbox.Id, handle);
        try
        {
            ExecResult result = await handle.Running.WaitAsync(s_inlineHold, context.RequestAborted).ConfigureAwait(false);
            if (wasAwake && !result.Truncated)
            {
                _results.Remove(sandbox.Id, handle.Id); // nobody is told of it
                await JsonBody.WriteAsync(context, Describe(result), HostJsonContext.Default.ExecReply).ConfigureAwait(false);
                return;
            }
        }
        catch (TimeoutException)
        {
            // It takes longer: the client asks again.
        }
        catch (Exception failure) when (failure is not OperationCanceledException)
        {
            _results.Remove(sandbox.Id, handle.Id);
            throw;
        }

        await JsonBody.WriteAsync(
            context,
            new ExecHandleReply(handle.Id, true, handle.StartedAt),
            HostJsonContext.Default.ExecHandleReply,
            StatusCodes.Status202Accepted).ConfigureAwait(false);
    }

    /// <summary>Starts a command that no client ends. What is wrong with it is thrown before the task is returned.</summary>
    private Task<ExecResult> StartInBackground(Sandbox sandbox, ExecRequest request)
    {
        OutputBudget.Share share = _budget.Open();
        Task<ExecResult> running = StartAsync(
            sandbox, sandboxes.EntryOf(sandbox).WorkingDirectory, request, split: false, TimeoutOf(request), MaxOutputBytes, share, CancellationToken.None);
        return EndAsync(running, share);

        // What the ended ones have written is counted by those that keep it.
        static async Task<ExecResult> EndAsync(Task<ExecResult> running, OutputBudget.Share share)
        {
            using (share)
            {
                return await running.ConfigureAwait(false);
            }
        }
    }

    private async Task ResultAsync(HttpContext context)
    {
        if (!_results.TryGet(context.Text("id"), context.Text("execId"), out ExecHandle? handle))
        {
            _ = context.Sandbox(sandboxes);
            throw ApiException.NotFound("execution not found");
        }

        await Task.WhenAny(handle.Running, Task.Delay(s_longPoll, context.RequestAborted)).ConfigureAwait(false);
        context.RequestAborted.ThrowIfCancellationRequested();
        var reply = new ExecResultReply { Running = !handle.Running.IsCompleted, Stdout = "", Stderr = "" };
        if (!reply.Running)
        {
            try
            {
                ExecResult result = await handle.Running.ConfigureAwait(false);
                ExecReply ended = Describe(result);
                reply = reply with
                {
                    ExitCode = ended.ExitCode,
                    Stdout = ended.Stdout,
                    Stderr = ended.Stderr,
                    Truncated = result.Truncated ? true : null,
                    CommandMs = (long)result.Exit.WallTime.TotalMilliseconds,
                };
            }
            catch (SandboxException failure)
            {
                reply = reply with { Error = ErrorMapping.TextOf(failure) };
            }
        }

        await JsonBody.WriteAsync(context, reply, HostJsonContext.Default.ExecResultReply).ConfigureAwait(false);
    }

    /// <summary>Starts a command. What is wrong with it is thrown before the task is returned.</summary>
    private static Task<ExecResult> StartAsync(
        Sandbox sandbox,
        string? home,
        ExecRequest request,
        bool split,
        TimeSpan? timeout,
        int maxOutputBytes,
        OutputBudget.Share share,
        CancellationToken cancellationToken)
    {
        string command = request.Cmd is { } text && !string.IsNullOrWhiteSpace(text) ? text : throw ApiException.Bad("cmd is required");
        var exec = new ExecOptions
        {
            EnvironmentVariables = request.Envs ?? [],
            WorkingDirectory = request.Cwd is { Length: > 0 } directory ? directory : home ?? Routes.Home,
            Timeout = timeout,
            MaxOutputBytes = maxOutputBytes,
            AllowOutput = share.Take,
        };
        return sandbox.ExecAsync(CommandOf(command, request.Args, split), exec, cancellationToken);
    }

    /// <summary>What is executed. Without arguments a command that cannot be the name of a program is a line for the shell.</summary>
    /// <param name="command">The program, or the line.</param>
    /// <param name="arguments">The program's arguments.</param>
    /// <param name="split">Whether a line that needs no shell is split at white space instead.</param>
    internal static string[] CommandOf(string command, string[]? arguments, bool split)
    {
        if (arguments is { Length: > 0 })
        {
            return [command, .. arguments];
        }

        if (command.AsSpan().ContainsAny(s_shellCharacters))
        {
            return ["/bin/sh", "-c", command];
        }

        string[] words = command.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return words.Length == 1 || split ? words : ["/bin/sh", "-c", command];
    }

    private static ExecReply Describe(ExecResult result) => new(
        result.Exit.TimedOut ? -1 : result.ExitCode, result.StandardOutput, result.StandardError + EndOfErrors(result), result.Truncated ? true : null);

    /// <summary>What clients are told at the end of standard error of a command that took too long.</summary>
    private static string EndOfErrors(ExecResult result) => !result.Exit.TimedOut ? ""
        : result.StandardErrorBytes is { IsEmpty: false } errors && errors.Span[^1] != '\n' ? "\n" + TimedOutLine
        : TimedOutLine;

    /// <summary>How long a command may take.</summary>
    /// <exception cref="ApiException">400: out of range.</exception>
    internal static TimeSpan? TimeoutOf(ExecRequest request, double whenAbsent = DefaultTimeoutSeconds) => (request.Timeout ?? whenAbsent) switch
    {
        0 => null,
        >= 0.001 and <= MaxTimeoutSeconds and double seconds => TimeSpan.FromSeconds(seconds),
        double wrong => throw ApiException.Bad($"timeout of {wrong} s: it must be from 0 (none) to {MaxTimeoutSeconds}"),
    };
}
