using System.Globalization;
using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.Vmm.State;
using OpenSandbox.Vmm.Tests.Network;

namespace OpenSandbox.Vmm.Tests.State.Model;

/// <summary>
/// Any sequence of operations, cut short anywhere by the death of the host, against a model of what there should be. The crash is exact: at
/// the failpoint the state directory is taken away from the operation, so that nothing it does when it fails can change it.
/// </summary>
[Collection(LocksCollection.Name)]
public sealed class StateModelTests
{
    private const int MaxCrashPoint = 25;

    // Some milliseconds each: 2,000 in the ordinary run, 100,000 in the long one.
    private static readonly int s_sequences = Cases.Count / 10;

    private static readonly Gen<Step[]> s_steps =
        (from what in Gen.Frequency([.. Enum.GetValues<What>().Select(static what => (what is What.Create or What.Write ? 3 : 2, Gen.Constant(what)))])
         from target in Gen.Choose(0, 5)
         from crash in Gen.Frequency((3, Gen.Constant(0)), (1, Gen.Choose(1, MaxCrashPoint)))
         select new Step(what, target, crash)).ArrayOf();

    [Fact]
    public void AnySequence_WithCrashes_IsAlwaysInTheOldStateOrTheNew() => Check.One(
        Config.QuickThrowOnFailure.WithMaxTest(s_sequences).WithEndSize(25),
        Prop.ForAll(s_steps.ToArbitrary(), Holds));

    private static bool Holds(Step[] steps)
    {
        string root = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();
        string directory = Path.Combine(root, $"opensandbox-model-{Environment.ProcessId}-{Guid.NewGuid():N}");
        var machines = new Dictionary<string, FakeMachine>(StringComparer.Ordinal);
        var host = new ModelHost(directory, machines);
        try
        {
            ModelWorld model = ModelWorld.Empty;
            for (int number = 1; number <= steps.Length; number++)
            {
                Step step = steps[number - 1];
                if (Plan(step, number, model) is not (Action<ModelHost> act, ModelWorld next))
                {
                    continue; // there is nothing to do it to
                }

                bool crashed = step.What == What.Restart || Crashes(host, act, step.Crash, directory);
                if (crashed)
                {
                    host.Dispose();
                    host = new ModelHost(directory, machines);
                    host.Recover();
                }

                string found = host.Observe().ToString();
                bool isNew = found == next.ToString();
                Assert.True(
                    isNew || (crashed && found == model.ToString()),
                    $"step {number}, {step}:\nfound\n{found}\nbefore\n{model}\nafter\n{next}");
                model = isNew ? next : model;
            }

            return true;
        }
        finally
        {
            host.Dispose();
            foreach (FakeMachine machine in machines.Values)
            {
                machine.Dispose();
            }

            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>Carries a step out; if it comes to its crash, what is on disk stays as it is at that moment.</summary>
    private static bool Crashes(ModelHost host, Action<ModelHost> act, int crash, string directory)
    {
        string gone = $"{directory}-crashed";
        int reached = 0;
        bool crashed = false;
        using (Fault.ArmFlow(FaultPlan.Observe((point, _) =>
        {
            if (++reached == crash)
            {
                crashed = true;
                Directory.Move(directory, gone);
            }

            if (crashed)
            {
                throw new FaultInjectedException(point);
            }
        })))
        {
            try
            {
                act(host);
            }
            catch (Exception) when (crashed)
            {
                // What a dead process says does not matter. It may have made directories anew.
                if (Directory.Exists(directory))
                {
                    Directory.Delete(directory, recursive: true);
                }
            }
        }

        if (crashed)
        {
            Directory.Move(gone, directory);
        }

        return crashed;
    }

    /// <summary>What a step does, and what there is afterwards; nothing if it has nothing to be done to.</summary>
    private static (Action<ModelHost> Act, ModelWorld Next)? Plan(Step step, int number, ModelWorld model)
    {
        string made = string.Create(CultureInfo.InvariantCulture, $"sb-{number:x8}");
        string name = string.Create(CultureInfo.InvariantCulture, $"c{number}");
        string? running = Pick(model.Sandboxes, SandboxState.Running);
        string? asleep = Pick(model.Sandboxes, SandboxState.Hibernated);
        string? dead = Pick(model.Sandboxes, SandboxState.Crashed);
        string? any = Pick(model.Sandboxes, null);
        string? checkpoint = Pick(model.Checkpoints, null);
        ModelBox? Box(string? id) => id is null ? null : model.Sandboxes[id];
        switch (step.What)
        {
            case What.Create:
                return (host => host.Create(made), model.With(made, new ModelBox(SandboxState.Running, [], 0)));
            case What.Write when running is not null:
                return (host => host.Write(running, number), model.With(running, Box(running)! with { Disk = [.. Box(running)!.Disk, number], Ram = number }));
            case What.Hibernate when running is not null:
                return (host => host.Hibernate(running), model.With(running, Box(running)! with { State = SandboxState.Hibernated }));
            case What.Wake when asleep is not null:
                return (host => host.Wake(asleep), model.With(asleep, Box(asleep)! with { State = SandboxState.Running }));
            case What.Boot when dead is not null:
                return (host => host.Boot(dead), model.With(dead, Box(dead)! with { State = SandboxState.Running, Ram = 0 }));
            case What.Checkpoint when running is not null:
                return (host => host.Checkpoint(running, name), model.WithCheckpoint(name, Box(running)! with { State = SandboxState.Hibernated }));
            case What.Restore when checkpoint is not null && (running ?? asleep) is string target:
                return (host => host.Restore(target, checkpoint), model.With(target, model.Checkpoints[checkpoint] with { State = SandboxState.Running }));
            case What.Fork when checkpoint is not null:
                return (host => host.Fork(checkpoint, made), model.With(made, model.Checkpoints[checkpoint] with { State = SandboxState.Running }));
            case What.Delete when any is not null:
                return (host => host.Delete(any), model.With(any, null));
            case What.DeleteCheckpoint when checkpoint is not null:
                return (host => host.DeleteCheckpoint(checkpoint), model.WithCheckpoint(checkpoint, null));
            case What.Die when running is not null:
                return (host => host.Die(running), model.With(running, Box(running)! with { State = SandboxState.Crashed, Ram = 0 }));
            case What.Sweep:
                return (static host => host.Sweep(), model);
            case What.Restart:
                return (static _ => { }, model);
            default:
                return null;
        }

        string? Pick(IReadOnlyDictionary<string, ModelBox> boxes, SandboxState? state)
        {
            string[] those = [.. boxes.Where(entry => state is null || entry.Value.State == state).Select(static entry => entry.Key).Order(StringComparer.Ordinal)];
            return those.Length == 0 ? null : those[step.Target % those.Length];
        }
    }

    internal enum What
    {
        Create,
        Write,
        Hibernate,
        Wake,
        Boot,
        Checkpoint,
        Restore,
        Fork,
        Delete,
        DeleteCheckpoint,
        Die,
        Sweep,
        Restart,
    }

    /// <param name="What">The operation.</param>
    /// <param name="Target">Which of those that it can be done to.</param>
    /// <param name="Crash">At which failpoint the host dies; 0: at none.</param>
    internal sealed record Step(What What, int Target, int Crash);
}
