using OpenSandbox.Vmm;

namespace Guides;

/// <summary>The code of docs/expiry.md.</summary>
internal static class ExpiryGuide
{
    internal static async Task CreateAsync(SandboxHost host, CancellationToken cancellationToken)
    {
        var spec = new SandboxSpec
        {
            Lifetime = SandboxLifetime.Detached,
            Expiry = new SandboxExpiry
            {
                IdleTimeout = TimeSpan.FromMinutes(5),
                Action = SandboxExpiryAction.Hibernate,
                AutoWake = true,
            },
        };
        Sandbox sandbox = await host.CreateAsync(spec, cancellationToken);
        await sandbox.Files.WriteTextAsync("/tmp/notes", "still here", cancellationToken: cancellationToken);

        // Any time later: hibernated or not, the same call.
        string notes = await sandbox.Files.ReadAllTextAsync("/tmp/notes", cancellationToken);
        Console.WriteLine(notes);
    }

    internal static async Task RenewAsync(Sandbox sandbox, CancellationToken cancellationToken)
    {
        await sandbox.SetExpiryAsync(new SandboxExpiry { Lifetime = TimeSpan.FromHours(2) }, cancellationToken);
        Console.WriteLine($"{sandbox.Id} is there until {sandbox.ExpiresAt:u}");
        await sandbox.RenewExpiryAsync(cancellationToken); // two hours from now
        await sandbox.SetExpiryAsync(SandboxExpiry.Never, cancellationToken);
    }

    internal static async Task<bool> TryUseAsync(Sandbox sandbox, CancellationToken cancellationToken)
    {
        try
        {
            await sandbox.ExecAsync(["true"], cancellationToken: cancellationToken);
            return true;
        }
        catch (SandboxLostException gone) when (gone.Exit.Reason == SandboxExitReason.Expired)
        {
            Console.WriteLine(gone.Exit.Description); // "it was not used for 0:05:00"
            return false;
        }
    }
}
