using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>Every change, cut short at every failpoint that it comes to.</summary>
[Collection(LocksCollection.Name)]
public sealed class StateCrashTests
{
    public static TheoryData<string> Scenarios => [.. StateScenario.All.Select(static scenario => scenario.Name)];

    /// <summary>
    /// At each failpoint the directory is copied: what a SIGKILL at that moment would leave is exactly what the file system shows then, without
    /// the locks and the files that have no name.
    /// </summary>
    [Theory]
    [MemberData(nameof(Scenarios))]
    public void Change_StoppedAtAnyPoint_IsFoundUndoneOrDone(string name)
    {
        StateScenario scenario = StateScenario.Of(name);
        using var directory = new TemporaryDirectory();
        StateStore store = Arrange(scenario, directory);
        var copies = new List<(string Point, string Path)> { ("(before)", Copy(directory, 0)) };

        using (Fault.ArmFlow(FaultPlan.Observe((point, count) => copies.Add(($"{point}:{count}", Copy(directory, copies.Count))))))
        {
            scenario.Act(store);
        }

        var outcomes = copies.ConvertAll(copy => (copy.Point, Outcome: Restart(scenario, copy.Path, copy.Point)));
        Assert.Equal(StateOutcome.New, Restart(scenario, store.Layout.Root, "(after)"));
        Assert.DoesNotContain(outcomes, static one => one.Outcome == StateOutcome.Wrong);
        Assert.True(copies.Count > 4, "the change comes to no failpoints");
        if (name != "sweep")
        {
            Assert.Equal(StateOutcome.Old, outcomes[0].Outcome);

            // One point at which it happens: never back from new to old.
            int first = outcomes.FindIndex(static one => one.Outcome == StateOutcome.New);
            Assert.True(first < 0 || outcomes.Skip(first).All(static one => one.Outcome == StateOutcome.New), string.Join('\n', outcomes));
        }
    }

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void Change_FailingAtAnyPoint_SaysSoAndLeavesNothingHalfDone(string name)
    {
        StateScenario scenario = StateScenario.Of(name);
        foreach (string point in Points(scenario))
        {
            foreach (string action in (string[])["throw", "eio", "enospc"])
            {
                using var directory = new TemporaryDirectory();
                StateStore store = Arrange(scenario, directory);
                Exception? failure;
                using (Fault.ArmFlow(FaultPlan.Parse($"{point}={action}")))
                {
                    failure = Record.Exception(() => scenario.Act(store));
                }

                StateOutcome outcome = Restart(scenario, store.Layout.Root, $"{point}={action}");
                Assert.NotEqual(StateOutcome.Wrong, outcome);

                // Success is only claimed for what has happened; a sweep reports what it could not do instead.
                Assert.True(failure is not null || outcome == StateOutcome.New, $"{name} at {point}={action}: no error, and nothing has changed");
                if (point.StartsWith("sync.", StringComparison.Ordinal) && name != "sweep")
                {
                    Assert.True(failure is not null || name == "wake", $"{name}: the failed {point} was not reported");
                }
            }
        }
    }

    /// <summary>What a commit could not make durable it takes back: the caller carries on with the old state, so that must be the one to see.</summary>
    [Theory]
    [InlineData("commit")]
    [InlineData("create")]
    [InlineData("checkpoint")]
    [InlineData("amend")]
    [InlineData("delete-snapshot")]
    public void Change_ThatFailsToBecomeDurable_IsTakenBack(string name)
    {
        StateScenario scenario = StateScenario.Of(name);
        string[] after = ["sandbox.created", "sandbox.committed", "snapshot.published", "remove.synced", "remove.file"];
        foreach (string point in Points(scenario).Where(point => !after.Contains(point.Split(':')[0])))
        {
            using var directory = new TemporaryDirectory();
            StateStore store = Arrange(scenario, directory);
            using (Fault.ArmFlow(FaultPlan.Parse($"{point}=eio")))
            {
                Assert.ThrowsAny<IOException>(() => scenario.Act(store));
            }

            Assert.Equal(StateOutcome.Old, scenario.Recover(store));
            Assert.Equal(StateOutcome.Old, Restart(scenario, store.Layout.Root, point));
        }
    }

    [Fact]
    public void Commit_ThatCanNeitherBeMadeDurableNorTakenBack_SaysThatTheNewStateIsInForce()
    {
        StateScenario scenario = StateScenario.Of("commit");
        using var directory = new TemporaryDirectory();
        StateStore store = Arrange(scenario, directory);
        using (Fault.ArmFlow(FaultPlan.Parse("replace.renamed=eio,replace.undo=enospc")))
        {
            StateUncertainException failure = Assert.Throws<StateUncertainException>(() => scenario.Act(store));
            Assert.Contains("neither", failure.Message, StringComparison.Ordinal);
        }

        Assert.Equal(StateOutcome.New, Restart(scenario, store.Layout.Root, "uncertain"));
    }

    /// <summary>The same with processes that are really killed: all points with <c>OPENSANDBOX_TEST_CASES</c>, otherwise the last of each name.</summary>
    [Theory]
    [MemberData(nameof(Scenarios))]
    public async Task Change_InAProcessThatIsKilled_IsFoundUndoneOrDone(string name)
    {
        StateScenario scenario = StateScenario.Of(name);
        IEnumerable<string> points = Points(scenario);
        if (Environment.GetEnvironmentVariable("OPENSANDBOX_TEST_CASES") is null)
        {
            points = points.GroupBy(static point => point.Split(':')[0]).Select(static same => same.Last());
        }

        foreach (string point in points)
        {
            using var directory = new TemporaryDirectory();
            StateStore store = Arrange(scenario, directory);
            string log = directory.File("log");
            var environment = new Dictionary<string, string> { [Fault.SpecificationVariable] = point, [Fault.LogVariable] = log };
            using var child = ChildProcess.Start(["act", name, store.Layout.Root], environment);
            (int exitCode, string output, string errors) = await child.WaitAsync();

            Assert.True(exitCode == 137 && output.Length == 0, $"{name} at {point}: exit code {exitCode}, '{output}', {errors}");
            Assert.EndsWith($"{point.Split(':')[0]} kill\n", await File.ReadAllTextAsync(log), StringComparison.Ordinal);
            Assert.NotEqual(StateOutcome.Wrong, Restart(scenario, store.Layout.Root, point));
        }
    }

    /// <summary>Every failpoint of the state directory is reached by one of the changes above.</summary>
    [Fact]
    public void Points_AllOfThem_AreReached()
    {
        var reached = new HashSet<string>(StateScenario.All.SelectMany(Points).Select(static point => point.Split(':')[0]), StringComparer.Ordinal)
        {
            FaultPoints.ReplaceUndo, // of a replacement that fails: its own test
            FaultPoints.LayerFreeze, // FreezePoint_IsReached
        };

        Assert.Empty(FaultPoints.State.Except(reached));
    }

    [Fact]
    public void FreezePoint_IsReached()
    {
        using var directory = new TemporaryDirectory();
        StateStore store = StateStore.Open(directory.Path);
        using StateLease lease = store.Enter();
        using LayerFile layer = store.CreateLayerFile(lease, static _ => { });
        using (Fault.ArmFlow(FaultPlan.Parse("layer.freeze=eio")))
        {
            Assert.ThrowsAny<IOException>(() => store.FreezeLayer(layer.Id));
        }

        using (Fault.ArmFlow(FaultPlan.Parse("sync.file=eio")))
        {
            Assert.ThrowsAny<IOException>(() => store.FreezeLayer(layer.Id));
        }

        Assert.NotNull(store.FreezeLayer(layer.Id).File);
    }

    private static StateStore Arrange(StateScenario scenario, TemporaryDirectory directory)
    {
        StateStore store = StateStore.Open(directory.File("state"));
        scenario.Arrange(store);
        return store;
    }

    /// <summary>Each failpoint that a change comes to, with each count: <c>name:count</c>.</summary>
    private static List<string> Points(StateScenario scenario)
    {
        using var directory = new TemporaryDirectory();
        StateStore store = Arrange(scenario, directory);
        var points = new List<string>();
        using (Fault.ArmFlow(FaultPlan.Observe((point, count) => points.Add($"{point}:{count}"))))
        {
            scenario.Act(store);
        }

        return points;
    }

    private static StateOutcome Restart(StateScenario scenario, string path, string point)
    {
        try
        {
            return StateScenario.Restart(scenario, path);
        }
        catch (Exception failure)
        {
            throw new InvalidOperationException($"{scenario.Name}, stopped at {point}: {failure.Message}", failure);
        }
    }

    private static string Copy(TemporaryDirectory directory, int number)
    {
        string source = directory.File("state");
        string copy = directory.File($"copy-{number}");
        Directory.CreateDirectory(copy, StateFiles.DirectoryMode);
        foreach (string path in Directory.EnumerateFileSystemEntries(source, "*", SearchOption.AllDirectories))
        {
            string target = Path.Combine(copy, Path.GetRelativePath(source, path));
            if (Directory.Exists(path))
            {
                Directory.CreateDirectory(target, StateFiles.DirectoryMode);
            }
            else if (Path.GetFileName(path) is StateLayout.LockName or "state.lock" or "state.queue")
            {
                File.WriteAllBytes(target, []); // a copy would wait for the lock
            }
            else
            {
                File.Copy(path, target);
            }
        }

        return copy;
    }
}
