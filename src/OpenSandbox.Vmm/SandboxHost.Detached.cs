using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;
using OpenSandbox.Vmm.Disks;
using OpenSandbox.Vmm.Expiry;
using OpenSandbox.Vmm.Lifecycle;
using OpenSandbox.Vmm.Qemu;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm;

/// <content>Detached sandboxes: what is on disk of them while they run.</content>
public sealed partial class SandboxHost
{
    /// <summary>
    /// Where the runtime directories of detached VMs are: one folder for each state directory, because whatever is in it that no manifest names
    /// is ended, and several state directories may share a runtime directory.
    /// </summary>
    internal string VmDirectory => field ??= Path.Combine(Options.RuntimeDirectory, "vm", NameOf(Options.StateDirectory));

    private static string NameOf(string stateDirectory)
    {
        // Short: the paths of sockets in it are bounded.
        const int digits = 8;
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Path.TrimEndingDirectorySeparator(Path.GetFullPath(stateDirectory)))))[..digits];
    }

    /// <summary>What makes a VM survive this process, if its sandbox is to.</summary>
    internal VmDetachment? NewDetachment(string id, SandboxSpec spec)
    {
        if (spec.Lifetime != SandboxLifetime.Detached)
        {
            return null;
        }

        // A sandbox may have two for a moment, when it goes back to a checkpoint.
        const int distinguishing = 8;
        string nonce = VmDetachment.NewNonce();
        Directory.CreateDirectory(VmDirectory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return new VmDetachment(Path.Combine(VmDirectory, $"{id}.{nonce[..distinguishing]}"), nonce);
    }

    /// <summary>An empty layer of the kind that a sandbox writes to: without a name, or with one if it is to survive this process.</summary>
    /// <param name="spec">The sandbox's.</param>
    /// <param name="lease">A lease, held until a manifest names the layer.</param>
    internal Func<long, DiskLayer> NewLayersFor(SandboxSpec spec, StateLease lease) =>
        spec.Lifetime == SandboxLifetime.Detached ? bytes => NewNamedLayer(lease, bytes) : NewLayer;

    private DiskLayer NewNamedLayer(StateLease lease, long virtualBytes)
    {
        // What no manifest comes to name is swept.
        LayerFile made = Store.CreateLayerFile(lease, file => Qcow2Overlay.Format(file, virtualBytes));
        return DiskLayer.Named(made.Id, made.File);
    }

    /// <summary>Writes down that a machine runs and whose it is: from here on the sandbox exists for every host.</summary>
    internal async Task<(SandboxLock Lock, SandboxManifest Manifest)> RegisterAsync(
        string id, SandboxSpec spec, SandboxRun run, SandboxLimits limits, StateLease lease, CancellationToken cancellationToken)
    {
        SandboxManifest manifest = await DescribeRunningAsync(
            new SandboxManifest
            {
                Id = id,
                State = RecordedState.Running,
                Lifetime = RecordedLifetime.Detached,
                CreatedAt = Options.TimeProvider.GetUtcNow(),
                Sandbox = SandboxRecord.From(spec, LimitsRecord.From(limits)),
                Disks = new DiskChains(),
                Expiry = ExpiryTerms.Begin(spec.Expiry, Options.TimeProvider).ToRecord(Options.TimeProvider.GetUtcNow()),
            },
            run,
            lease,
            cancellationToken).ConfigureAwait(false);
        return await Task.Run(() => Store.CreateSandbox(lease, manifest), CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>A manifest for a sandbox whose machine is this one.</summary>
    internal async Task<SandboxManifest> DescribeRunningAsync(
        SandboxManifest manifest, SandboxRun run, StateLease lease, CancellationToken cancellationToken) => manifest with
        {
            State = RecordedState.Running,
            Disks = Chains.Describe(run.Disks, Store, lease),
            SnapshotId = null,
            Operation = null,
            Golden = GoldenRecord.From(run.Golden),
            Vm = Records.Of(await run.Machine.GetRecordAsync(cancellationToken).ConfigureAwait(false)),
        };

    /// <summary>Makes a started machine a sandbox, with a manifest if it is to survive this process. If that fails the machine is ended.</summary>
    private async Task<Sandbox> AdoptAsync(
        string id,
        SandboxSpec spec,
        SandboxRun run,
        SandboxLimits? limits,
        StateLease? lease,
        CancellationToken cancellationToken,
        SandboxEventDetails? forked = null)
    {
        try
        {
            if (spec.Lifetime != SandboxLifetime.Detached)
            {
                return Adopt(id, spec, run, limits, null, forked);
            }

            Fault.Point(FaultPoints.CreateStarted);
            (SandboxLock Lock, SandboxManifest Manifest) registered = await RegisterAsync(
                id, spec, run, limits ?? SandboxResizer.LimitsOf(spec, run, Options), lease!, cancellationToken).ConfigureAwait(false);
            Fault.Point(FaultPoints.CreateRegistered);
            try
            {
                return Adopt(id, spec, run, limits, registered, forked);
            }
            catch
            {
                await Task.Run(() => Store.DeleteSandbox(registered.Lock), CancellationToken.None).ConfigureAwait(false);
                registered.Lock.Dispose();
                throw;
            }
        }
        catch
        {
            await run.Machine.DisposeAsync().ConfigureAwait(false);
            run.Disks.Dispose();
            throw;
        }
    }
}
