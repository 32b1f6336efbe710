using System.Runtime.CompilerServices;
using System.CommandLine;
using Microsoft.Extensions.Logging;
using OpenSandbox.Cli.Images;
using OpenSandbox.Cli.Parsing;
using OpenSandbox.Cli.Reporting;
using OpenSandbox.Host;
using OpenSandbox.Vmm;

namespace OpenSandbox.Cli.Commands;

/// <summary><c>opensandbox serve</c>.</summary>
internal sealed class ServeCommand : Command, IHasExamples
{
    private readonly Option<string> _listen = new("--listen")
    {
        Description = "Where to listen: ADDRESS:PORT or unix:PATH",
        DefaultValueFactory = static _ => ListenAddress.Default.ToString(),
        HelpName = "ADDRESS:PORT",
    };

    private readonly Option<string> _state = new("--state") { Description = "Folder for everything that outlives the server", HelpName = "DIR" };

    private readonly Option<string> _keys = new("--api-keys") { Description = "File with one API key a line, read again when it changes", HelpName = "FILE" };

    private readonly Option<string> _publicUrl = new("--public-url") { Description = "How clients reach the server, for the URLs that it hands out", HelpName = "URL" };

    private readonly Option<string> _previewDomain = new("--preview-domain")
    {
        Description = "Domain below which ports of sandboxes are served",
        DefaultValueFactory = static _ => new ServerOptions().PreviewDomain,
        HelpName = "DOMAIN",
    };

    private readonly Option<bool> _anonymous = new("--allow-anonymous-remote")
    {
        Description = "Listen beyond this machine without any key: whoever reaches the server can run programs on it",
    };

    private readonly Option<int> _rate = new("--requests-per-second")
    {
        Description = "Requests a second that one key may make, in bursts of twice as many",
        DefaultValueFactory = static _ => new ServerOptions().RequestsPerSecond,
        HelpName = "N",
    };

    private readonly Option<int> _atOnce = new("--max-requests")
    {
        Description = "Requests that are worked on at once, WebSockets included",
        DefaultValueFactory = static _ => new ServerOptions().MaxConcurrentRequests,
        HelpName = "N",
    };

    private readonly Option<string> _grace = new("--shutdown-timeout")
    {
        Description = "For how long requests that are under way may go on when the server is told to stop",
        DefaultValueFactory = static _ => "10s",
        HelpName = "DURATION",
    };

    private readonly Option<bool> _json = new("--log-json") { Description = "Write the log as JSON, one object a line" };

    internal ServeCommand(CommandContext context, Option<bool> verbose)
        : base("serve", "Serve sandboxes over HTTP")
    {
        Options.Add(_listen);
        Options.Add(_state);
        Options.Add(_keys);
        Options.Add(_publicUrl);
        Options.Add(_previewDomain);
        Options.Add(_anonymous);
        Options.Add(_rate);
        Options.Add(_atOnce);
        Options.Add(_grace);
        Options.Add(_json);
        SetAction((parsed, _) => ServeAsync(parsed, verbose, context));
    }

    /// <inheritdoc/>
    public string Examples => """
        Clients give the key as X-API-Key; OPENSANDBOX_API_KEY holds one more than the file. Without any key the server listens on this
        machine only. Sandboxes outlive the server: the next one with the same state takes them over.

        Examples:
          OPENSANDBOX_API_KEY=$(openssl rand -hex 24) opensandbox serve --listen 0.0.0.0:8080
          opensandbox serve --listen unix:/run/opensandbox/api.sock
        """;

    private async Task<int> ServeAsync(ParseResult parsed, Option<bool> verbose, CommandContext context)
    {
        var steps = new Steps(context.Errors);
        await using ConfiguredAsyncDisposable ending = steps.ConfigureAwait(false);
        ServerOptions options = Read(parsed, steps);
        bool json = parsed.GetValue(_json);
        bool detailed = parsed.GetValue(verbose);
        OpenSandboxServer server;
        try
        {
            server = await OpenSandboxServer.StartAsync(options, logging => Configure(logging, json, detailed), context.Signals.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (context.Signals.Received is int signal)
        {
            return ExitCodes.OfSignal(signal);
        }

        await using (server.ConfigureAwait(false))
        {
            steps.End();
            await server.WaitForShutdownAsync(context.Signals.Token).ConfigureAwait(false);
        }

        return ExitCodes.Success;
    }

    private ServerOptions Read(ParseResult parsed, Steps steps)
    {
        try
        {
            var sandboxes = new SandboxHostOptions();
            return new ServerOptions
            {
                Listen = ListenAddress.Parse(parsed.GetValue(_listen)!),
                ApiKeysFile = parsed.GetValue(_keys) is { } file ? Path.GetFullPath(file) : null,
                PublicUrl = parsed.GetValue(_publicUrl) is { } url ? new Uri(url) : null,
                PreviewDomain = parsed.GetValue(_previewDomain)!,
                RequestsPerSecond = parsed.GetValue(_rate),
                MaxConcurrentRequests = parsed.GetValue(_atOnce),
                ShutdownTimeout = Duration.TryParse(parsed.GetValue(_grace)!, out TimeSpan grace, out string problem) ? grace : throw new UsageException(problem),
                AllowAnonymousRemote = parsed.GetValue(_anonymous),
                Sandboxes = parsed.GetValue(_state) is { } state ? sandboxes with { StateDirectory = Path.GetFullPath(state) } : sandboxes,
                Prepare = (host, cancellationToken) => ImagePreparation.EnsureAllAsync(host, new SandboxSpec().Image, steps, cancellationToken),
            };
        }
        catch (FormatException wrong)
        {
            throw new UsageException(wrong.Message);
        }
    }

    private static void Configure(ILoggingBuilder logging, bool json, bool detailed)
    {
        logging.SetMinimumLevel(detailed ? LogLevel.Debug : LogLevel.Information).AddFilter("Microsoft", LogLevel.Warning);
        if (json)
        {
            logging.AddJsonConsole();
        }
        else
        {
            logging.AddSimpleConsole(static console => console.SingleLine = true);
        }

        logging.AddConsole(static console => console.LogToStandardErrorThreshold = LogLevel.Trace);
    }
}
