using System.Net;
using Microsoft.Extensions.Logging;
using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Vmm;

/// <summary>Takes what the guest's agent asks for on the network port of one sandbox, and hands it to the gateway.</summary>
/// <remarks>The channel bounds how many requests there may be at once (<see cref="ProtocolConstants.MaxAgentStreams"/>).</remarks>
internal sealed class GuestNetworkService
{
    private readonly string _sandboxId;
    private readonly GuestChannel _channel;
    private readonly EgressGateway _gateway;
    private readonly Func<long, long?, CancellationToken, Task<GuestScaleReply>> _scale;
    private readonly ILogger _logger;
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _running = 1; // the loop itself

    /// <param name="sandboxId">Whose network it is; for the log.</param>
    /// <param name="channel">Where the agent's streams come from.</param>
    /// <param name="gateway">Decides on connections and names.</param>
    /// <param name="scale">Decides on the guest's wishes for another size.</param>
    /// <param name="logger">For what goes wrong.</param>
    internal GuestNetworkService(
        string sandboxId,
        GuestChannel channel,
        EgressGateway gateway,
        Func<long, long?, CancellationToken, Task<GuestScaleReply>> scale,
        ILogger logger)
    {
        _scale = scale;
        _sandboxId = sandboxId;
        _channel = channel;
        _gateway = gateway;
        _logger = logger;
    }

    /// <summary>Serves until the channel ends. Called once.</summary>
    /// <returns>When the last connection is closed. Never fails.</returns>
    internal async Task RunAsync()
    {
        try
        {
            while (true)
            {
                AgentStream stream = await _channel.AcceptStreamAsync(CancellationToken.None).ConfigureAwait(false);
                Interlocked.Increment(ref _running);
                _ = ServeAsync(stream);
            }
        }
        catch (Exception ended) when (MeansEnd(ended))
        {
            Left(); // the sandbox has ended; who follows its life knows why
        }

        await _drained.Task.ConfigureAwait(false);
    }

    private static bool MeansEnd(Exception failure) =>
        failure is GuestChannelException or ObjectDisposedException or OperationCanceledException;

    private void Left()
    {
        if (Interlocked.Decrement(ref _running) == 0)
        {
            _drained.TrySetResult();
        }
    }

    private async Task ServeAsync(AgentStream stream)
    {
        try
        {
            await AnswerAsync(stream).ConfigureAwait(false);
        }
        catch (Exception ended) when (MeansEnd(ended))
        {
            // The sandbox has ended while this was under way: nobody is left to be answered.
            VmmLog.GuestRequestDropped(_logger, _sandboxId, ended.Message);
        }
        catch (Exception defect)
        {
            // The boundary of a task that nobody awaits: the guest hears that it failed, by the stream's disposal, and the log why.
            VmmLog.GuestRequestFailed(_logger, _sandboxId, defect);
        }
        finally
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            Left();
        }
    }

    private async Task AnswerAsync(AgentStream stream)
    {
        switch (stream.Request)
        {
            case { Op: Operations.Tcp, Tcp: { Address: not null, Port: > 0 and <= ushort.MaxValue } tcp }
                when IPAddress.TryParse(tcp.Address, out IPAddress? address):
                await ConnectAsync(stream, new IPEndPoint(HostLoopback.FromGuest(address), tcp.Port)).ConfigureAwait(false);
                break;
            case { Op: Operations.Dns, Dns: { } dns }:
                ReadOnlyMemory<byte> answer = await _gateway.ResolveAsync(dns.Query, dns.OverTcp, _channel.Closed).ConfigureAwait(false);
                stream.Complete(new HostReply { Dns = answer.ToArray() });
                break;
            case { Op: Operations.Scale, Scale: { } scale }:
                await ScaleAsync(stream, scale).ConfigureAwait(false);
                break;
            default:
                Refuse(stream, AgentErrorCodes.InvalidRequest, "no such request, or not with these parameters");
                break;
        }
    }

    private async Task ConnectAsync(AgentStream stream, IPEndPoint target)
    {
        EgressConnection connection;
        try
        {
            connection = await _gateway.ConnectAsync(target, _channel.Closed).ConfigureAwait(false);
        }
        catch (EgressRefusedException refused)
        {
            Refuse(stream, AgentErrorCodes.Refused, refused.Message);
            return;
        }
        catch (EgressConnectException failed)
        {
            Refuse(stream, AgentErrorCodes.System, failed.Message);
            return;
        }

        using (connection)
        {
            stream.Start();
            await EgressRelay.RunAsync(stream, connection).ConfigureAwait(false);
        }
    }

    private async Task ScaleAsync(AgentStream stream, ScaleRequest request)
    {
        GuestScaleReply reply = await _scale(request.MemoryMib, request.CpuPercent, _channel.Closed).ConfigureAwait(false);
        if (reply.Limits is SandboxLimits limits)
        {
            stream.Complete(new HostReply { MemoryMib = limits.MemoryMib, CpuPercent = limits.CpuPercent });
            return;
        }

        string code = reply.Refusal switch
        {
            GuestScaleRefusal.NotAllowed => AgentErrorCodes.Refused,
            GuestScaleRefusal.Invalid => AgentErrorCodes.InvalidRequest,
            _ => AgentErrorCodes.LimitReached,
        };
        Refuse(stream, code, reply.Text);
    }

    private static void Refuse(AgentStream stream, string code, string message) =>
        stream.Fail(new AgentError { Code = code, Message = message.Length <= 1_024 ? message : message[..1_024] });
}
