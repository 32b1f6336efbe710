using System.Text.Json.Serialization.Metadata;

namespace OpenSandbox.VirtioSerial.Tests;

/// <summary>
/// Restates everything that both ends of the wire rely on. An agent in a golden snapshot is as old as the snapshot: a change here is a new
/// generation, not an edit.
/// </summary>
public sealed class ProtocolConstantsTests
{
    private const string Tripwire = "The wire format has changed: bump ProtocolConstants.Generation, see docs/protocol.md.";

    [Fact]
    public void Constants_ComparedWithTheirCopy_AreUnchanged()
    {
        Same(1, ProtocolConstants.Generation);
        Same("org.opensandbox.control", ProtocolConstants.ControlPortName);
        Same("org.opensandbox.bulk", ProtocolConstants.BulkPortName);
        Same("org.opensandbox.network", ProtocolConstants.NetworkPortName);
        Same(32, ProtocolConstants.PreambleSize);
        Same(65_536, ProtocolConstants.ReconnectPaddingSize);
        Same(16, ProtocolConstants.HeaderSize);
        Same(4, ProtocolConstants.TrailerSize);
        Same(32_768, ProtocolConstants.MaxFrameSize);
        Same(32_748, ProtocolConstants.MaxPayloadSize);
        Same(262_144, ProtocolConstants.CreditWindow);
        Same(1, ProtocolConstants.ContinuedFlag);
        Same(1_048_576, ProtocolConstants.MaxRequestSize);
        Same(64, ProtocolConstants.MaxPingSize);
        Same(15_000, QuiesceRequest.DefaultWatchdogMilliseconds);
        Same(100, QuiesceRequest.MinWatchdogMilliseconds);
        Same(600_000, QuiesceRequest.MaxWatchdogMilliseconds);
        Same(0x8000_0000u, ProtocolConstants.FirstAgentStreamId);
        Same(1_024, ProtocolConstants.MaxAgentStreams);
        Same("8F6F7362780D0A1A0AC328FEED5AA591", Convert.ToHexString(ProtocolConstants.Magic));
        Same(8, StoredPayload.MaxDepth);
        Same(8, ProtocolJsonContext.Default.Options.MaxDepth);
    }

    [Fact]
    public void Enums_ComparedWithTheirCopy_AreUnchanged()
    {
        Same(
            "Hello=1 Welcome=2 Ping=3 Pong=4 Open=5 Started=6 Data=7 Credit=8 End=9 Result=10 Error=11 Cancel=12 Signal=13 Quiesce=14 Quiesced=15 "
                + "Thaw=16 Thawed=17",
            Names<FrameType>());
        Same("Content=0 StandardOutput=1 StandardError=2 Gap=3 Report=4", Names<DataChannel>());
    }

    [Fact]
    public void Layout_OfPreambleAndFrame_IsUnchanged()
    {
        var preamble = new byte[ProtocolConstants.PreambleSize];
        new Preamble(0x1122_3344_5566_7788, 1).Write(preamble);
        Same("8F6F7362780D0A1A0AC328FEED5AA591" + "8877665544332211" + "0100" + "0000" + "778899AA", Convert.ToHexString(preamble));

        var frame = new byte[23];
        "abc"u8.CopyTo(frame.AsSpan(16));
        Same(23, FrameWriter.Seal(frame, FrameType.Data, 2, 0x0102_0304, 0x5566_7788, 3));
        Same("0702" + "0000" + "04030201" + "88776655" + "03000000" + "616263" + "778899AA", Convert.ToHexString(frame));
    }

    [Fact]
    public void Operations_ComparedWithTheirCopy_AreUnchanged()
    {
        Same(
            "resume exec start attach processes wait signal log resize usage write read stat list mkdir remove search move copy attributes replace "
                + "write_many read_many stat_many watch limits connect tcp dns scale sink source",
            string.Join(
                ' ',
                Operations.Resume, Operations.Exec, Operations.Start, Operations.Attach, Operations.Processes, Operations.Wait,
                Operations.Signal, Operations.Log, Operations.Resize, Operations.Usage, Operations.Write, Operations.Read, Operations.Stat, Operations.List,
                Operations.MakeDirectory, Operations.Remove, Operations.Search, Operations.Move, Operations.Copy, Operations.Attributes,
                Operations.Replace, Operations.WriteMany, Operations.ReadMany, Operations.StatMany, Operations.Watch, Operations.Limits,
                Operations.Connect, Operations.Tcp, Operations.Dns, Operations.Scale, Operations.Sink, Operations.Source));
        Same(
            "invalid_request not_resumed system spawn_failed unknown_user limit_reached refused cancelled internal",
            string.Join(
                ' ',
                AgentErrorCodes.InvalidRequest, AgentErrorCodes.NotResumed, AgentErrorCodes.System, AgentErrorCodes.SpawnFailed,
                AgentErrorCodes.UnknownUser, AgentErrorCodes.LimitReached, AgentErrorCodes.Refused, AgentErrorCodes.Cancelled, AgentErrorCodes.Internal));
        Same(32, typeof(Operations).GetFields().Length);
        Same(9, typeof(AgentErrorCodes).GetFields().Length);
        Same(
            "user streams clone setsid dup setrlimit setgroups setgid setuid chdir exec",
            string.Join(
                ' ',
                StartSteps.User, StartSteps.Streams, StartSteps.Clone, StartSteps.Session, StartSteps.StandardDescriptors, StartSteps.Limits,
                StartSteps.Groups, StartSteps.Gid, StartSteps.Uid, StartSteps.WorkingDirectory, StartSteps.Exec));
        Same(11, typeof(StartSteps).GetFields().Length);
    }

    /// <summary>Name and type of each JSON field; a star marks those that must be there.</summary>
    [Theory]
    [InlineData(typeof(OpenRequest), "attributes:AttributesRequest dns:DnsRequest exec:ExecRequest file:FileRequest length:Int64? limits:LimitsRequest many:PathsRequest move:MoveRequest op:String* process:ProcessRequest replace:ReplaceRequest resume:ResumeRequest scale:ScaleRequest search:SearchRequest start:ProcessStartRequest tcp:TcpRequest watch:WatchRequest")]
    [InlineData(typeof(ExecRequest), "argv:String[]* environment:Dictionary standardInput:Boolean timeoutMilliseconds:Int64? user:String workingDirectory:String")]
    [InlineData(typeof(FileRequest), "depth:Int32? group:String ignoreMissing:Boolean length:Int64? mode:Int32? offset:Int64? path:String* recursive:Boolean user:String")]
    [InlineData(typeof(ResumeRequest), "description:SandboxDescription entropySeed:Byte[]* environment:Dictionary hostname:String* limits:GuestLimits pluggedMemoryBytes:Int64? renewIdentity:Boolean rootDevice:String wallClockNanoseconds:Int64* workspaceDevice:String")]
    [InlineData(typeof(GuestLimits), "cpuMaxPercent:Int32? memoryMaxBytes:Int64? pidsMax:Int32?")]
    [InlineData(typeof(ResumeResult), "memoryBytes:Int64 mountMicroseconds:Int64 totalMicroseconds:Int64 vcpuCount:Int32")]
    [InlineData(typeof(StartedReply), "file:FileEntry pid:Int32? process:ProcessAttached")]
    [InlineData(typeof(ExecResultMessage), "cpuMicroseconds:Int64? exitCode:Int32? leftProcesses:Boolean outOfMemory:Boolean outputCut:Boolean processLimitHit:Boolean signal:Int32? timedOut:Boolean wallMicroseconds:Int64")]
    [InlineData(typeof(ProcessStartRequest), "command:ExecRequest* detached:Boolean limits:ProcessLimitsRequest lossless:Boolean report:Boolean ringBytes:Int32? terminal:TerminalRequest")]
    [InlineData(typeof(ProcessLimitsRequest), "addressSpaceBytes:Int64? cpuSeconds:Int64? fileSizeBytes:Int64? openFiles:Int64?")]
    [InlineData(typeof(TerminalRequest), "columns:Int32* rows:Int32* type:String")]
    [InlineData(typeof(ProcessRequest), "columns:Int32? from:Int64? fromNow:Boolean id:String* input:Boolean length:Int32? lossless:Boolean mark:Boolean rows:Int32? signal:Int32? sinceMark:Boolean wholeCgroup:Boolean")]
    [InlineData(typeof(ProcessAttached), "id:String* replayEnd:Int64 sequence:Int64 terminal:Boolean")]
    [InlineData(typeof(ProcessEntry), "command:String[]* cpuMicroseconds:Int64? detached:Boolean exit:ExecResultMessage id:String* managed:Boolean memoryBytes:Int64? outputEnd:Int64 outputStart:Int64 pid:Int32 startedNanoseconds:Int64 terminal:Boolean user:String*")]
    [InlineData(typeof(ProcessLogResult), "ended:Boolean firstAvailable:Int64 next:Int64 start:Int64")]
    [InlineData(typeof(UsageResult), "cpuMicroseconds:Int64 memoryBytes:Int64? memoryLimitBytes:Int64? memoryPeakBytes:Int64? outOfMemoryKills:Int64 pids:Int64? pidsLimit:Int64? readBytes:Int64? refusedForks:Int64 writtenBytes:Int64?")]
    [InlineData(typeof(SignalRequest), "signal:Int32* wholeCgroup:Boolean")]
    [InlineData(typeof(FileEntry), "details:FileDetails gid:UInt32 linkTarget:String mode:Int32 modifiedNanoseconds:Int64 path:String* size:Int64 type:String* uid:UInt32")]
    [InlineData(typeof(FileResult), "bytes:Int64 count:Int32? file:FileEntry fileMicroseconds:Int64")]
    [InlineData(typeof(ListResult), "count:Int32 truncated:Boolean unreadable:Int32")]
    [InlineData(typeof(FileDetails), "accessedNanoseconds:Int64 changedNanoseconds:Int64 createdNanoseconds:Int64? group:String user:String")]
    [InlineData(typeof(SearchRequest), "allKinds:Boolean depth:Int32? maxCount:Int32? path:String* pattern:String* skipHidden:Boolean")]
    [InlineData(typeof(MoveRequest), "from:String* overwrite:Boolean parents:Boolean to:String*")]
    [InlineData(typeof(AttributesRequest), "followLink:Boolean group:String mode:Int32? path:String* recursive:Boolean user:String")]
    [InlineData(typeof(ReplaceRequest), "files:ReplaceItem[]* maxFileBytes:Int64?")]
    [InlineData(typeof(ReplaceItem), "new:Byte[]* old:Byte[]* path:String*")]
    [InlineData(typeof(PathsRequest), "maxFileBytes:Int64? paths:String[]*")]
    [InlineData(typeof(WatchRequest), "maxWatches:Int32? path:String* recursive:Boolean")]
    [InlineData(typeof(WatchEvent), "cookie:UInt32 directory:Boolean kind:String* path:String")]
    [InlineData(typeof(ItemHead), "file:FileRequest*")]
    [InlineData(typeof(ItemReply), "count:Int32 error:ItemError file:FileEntry path:String*")]
    [InlineData(typeof(ItemError), "code:String* errno:Int32 message:String*")]
    [InlineData(typeof(LimitsRequest), "limits:GuestLimits pluggedMemoryBytes:Int64? refuseMemoryInUse:Boolean removedMemoryBytes:Int64? stallMilliseconds:Int32?")]
    [InlineData(typeof(LimitsResult), "cpuMaxPercent:Int32? done:Boolean memoryBytes:Int64 memoryInUseBytes:Int64 memoryMaxBytes:Int64? pidsMax:Int32? pluggedMemoryBytes:Int64 shortfallBytes:Int64")]
    [InlineData(typeof(SandboxDescription), "metadata:Dictionary sandboxId:String*")]
    [InlineData(typeof(AgentError), "code:String* errno:Int32 message:String* step:String")]
    [InlineData(typeof(TcpRequest), "address:String port:Int32*")]
    [InlineData(typeof(DnsRequest), "overTcp:Boolean query:Byte[]*")]
    [InlineData(typeof(ScaleRequest), "cpuPercent:Int64? memoryMib:Int64*")]
    [InlineData(typeof(HostReply), "cpuPercent:Int32? dns:Byte[] memoryMib:Int32?")]
    [InlineData(typeof(AgentHello), "agentVersion:String generation:Int32* kernelRelease:String quiesced:Boolean resumed:Boolean")]
    [InlineData(typeof(HostWelcome), "generation:Int32*")]
    [InlineData(typeof(QuiesceRequest), "snapshot:Boolean watchdogMilliseconds:Int32? zeroFreeMemory:Boolean")]
    [InlineData(typeof(QuiesceReply), "ok:Boolean* openStreams:Int32 reason:String")]
    [InlineData(typeof(ThawRequest), "entropySeed:Byte[]* wallClockNanoseconds:Int64*")]
    [InlineData(typeof(ThawedReply), "ok:Boolean* reason:String watchdogFired:Boolean")]
    public void JsonFields_ComparedWithTheirCopy_AreUnchanged(Type type, string fields)
    {
        JsonTypeInfo contract = ProtocolJsonContext.Default.GetTypeInfo(type)!;
        Same(fields, string.Join(' ', contract.Properties.Select(Describe).Order(StringComparer.Ordinal)));
    }

    private static string Describe(JsonPropertyInfo property)
    {
        Type type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        string name = type.Name.Split('`')[0] + (type != property.PropertyType ? "?" : "");
        return $"{property.Name}:{name}{(property.IsRequired ? "*" : "")}";
    }

    private static string Names<T>()
        where T : struct, Enum =>
        string.Join(' ', Enum.GetValues<T>().Select(value => $"{value}={Convert.ToInt32(value)}"));

    private static void Same<T>(T expected, T actual) =>
        Assert.True(EqualityComparer<T>.Default.Equals(expected, actual), $"{Tripwire}{Environment.NewLine}was: {expected}{Environment.NewLine}is:  {actual}");
}
