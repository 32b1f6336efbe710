using OpenSandbox.Vmm.Telemetry;

namespace OpenSandbox.Vmm;

/// <content>What the host's metrics are read from.</content>
public sealed partial class SandboxHost
{
    private EgressTotals _egressGone; // of sandboxes that have ended; guarded by _gate

    /// <summary>What its sandboxes have done on the network so far, those that have ended included.</summary>
    internal EgressTotals ReadEgress()
    {
        lock (_gate)
        {
            return _sandboxes.Values.Aggregate(_egressGone, static (sum, sandbox) => sum + EgressTotals.Of(sandbox.Network.Statistics));
        }
    }
}
